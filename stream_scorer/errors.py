"""The errors that end the process, named by what the person in front of it does next.

A bad *record* is not among them: it is a `Reject`, a value, and goes to the dead letters.

* ScorerError
  x BadInput          what was given is wrong: mend the setting, the file or the model
  x Unfit             the process cannot keep its promise: it stops, nothing is lost, start it again
    - KafkaTrouble    the broker cannot be reached, refuses us, or lacks a topic
    - RegistryTrouble the schema registry cannot be reached, or refuses us
    - DeliveryError   a record that was written is not acknowledged, so nothing may be committed
    - TransactionTrouble   no transaction can be begun or ended any more
    - TooManyDeadLetters   to go on would only fill the dead letters: exit code 3, do not restart
"""


class ScorerError(Exception):
    """Its text is one line that says what was wrong, with which value, and what was wanted."""

    exit_code = 1


class BadInput(ScorerError):
    """A setting, a file or a model that a person gave is wrong."""


class Unfit(ScorerError):
    """The process cannot go on without breaking its promise."""


class KafkaTrouble(Unfit):
    """Kafka cannot be reached, refuses us, or lacks what we need."""


class RegistryTrouble(Unfit):
    """The schema registry cannot be reached, or refuses us."""

    may_pass = False  # asked again, it may answer


class TooManyDeadLetters(Unfit):
    """So many records cannot be scored that not they are wrong but we, or their producer."""

    exit_code = 3


class DeliveryError(Unfit):
    """Something written was not acknowledged by Kafka."""


class TransactionTrouble(Unfit):
    """Kafka's transactions cannot go on; what the open one holds does not count."""
