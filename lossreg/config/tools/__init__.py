"""What people do with a config besides loading it; each tool reads the grammar or the tree."""
