"""Which published requirement is met where, and which tests prove it: tables, tags, and the pages made of them."""
