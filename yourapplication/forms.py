"""Forms. Each brings a CSRF token of its own, which its template must render."""

from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import DataRequired, Length, Regexp


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


class EntryForm(FlaskForm):
    """Asks for a line to keep."""

    LONGEST = 200

    text = StringField(
        "What do you want to keep?",
        filters=[lambda text: text and text.strip()],
        validators=[
            DataRequired("Please type something."),
            Length(max=LONGEST, message=f"Please type at most {LONGEST} characters."),
            # PostgreSQL cannot store NUL in a text.
            Regexp(r"[^\0]*\Z", message="Please type text without NUL characters."),
        ],
    )
