"""Files of the field, by content: tables of labels and boxes, and annotations in other formats."""
