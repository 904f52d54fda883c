"""Language models of documents, and the n-grams that they are compared with."""
