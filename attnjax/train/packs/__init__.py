"""Many trials trained together by one program."""
