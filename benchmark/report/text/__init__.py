"""Tables and pages as CSV, Markdown, LaTeX and plain text."""
