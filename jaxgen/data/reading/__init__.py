"""Files of images and arrays, read as the files of strangers that they may be."""
