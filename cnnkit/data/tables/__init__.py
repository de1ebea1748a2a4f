"""Tables of images: CSV and Parquet files with paths or bytes, and arrays in memory."""
