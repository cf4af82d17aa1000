"""Getting ready, and becoming uWSGI or nginx."""
