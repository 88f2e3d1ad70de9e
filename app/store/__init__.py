"""What is kept, in the database and in files. The only importer of SQLAlchemy."""
