"""Labels of the rows of tables, such as those of persons, and what simpler models make of them."""
