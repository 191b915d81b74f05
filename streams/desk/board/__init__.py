"""The live board: a page of plain files that asks the API as any client does. Nothing here knows of accounts."""
