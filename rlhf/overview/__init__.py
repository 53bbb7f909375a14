"""The project overview: what a frozen evaluation says, as sentences and figures. Every number is the document's own."""
