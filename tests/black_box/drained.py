"""Keeps Schemathesis from a deadline so short that the server ends by it, as it should: an hour is
longer than the test. Hooks of Schemathesis, named by SCHEMATHESIS_HOOKS."""

import schemathesis

HOUR = 3600


@schemathesis.hook
def filter_body(context, body):
    within = body.get("within") if isinstance(body, dict) else None
    return type(within) not in (int, float) or not 0 <= within < HOUR
