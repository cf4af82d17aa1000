"""Forms. Each brings a CSRF token of its own, which its template must render."""

from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import DataRequired, Length


class NameForm(FlaskForm):
    """Asks for a name."""

    name = StringField(
        "What is your name?",
        filters=[lambda text: text and text.strip()],
        validators=[
            DataRequired("Please type a name."),
            Length(max=40, message="Please choose a name of at most 40 characters."),
        ],
    )
