"""The processes of this site. Its name makes it the first."""

from conforms.children import processes

from imports import app_that_says

app = app_that_says(str)
app.add_url_rule("/processes", "processes", processes)
