"""SQL, one module per noun; arrays in, arrays out."""
