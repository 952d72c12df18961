"""The views `fills` and `decisions`: facts as people query them, with names for what JSON holds."""

from alembic import op

revision = "0002"
down_revision = "0001"

# A bar's and a verdict's JSON is an array, whose places are the order of the fields of the tuple.
SQLITE = (
    """
    CREATE VIEW fills AS
    SELECT account, seq, ts,
           json_extract(payload, '$.fill.fill_id') AS fill_id,
           json_extract(payload, '$.fill.client_id') AS client_id,
           json_extract(payload, '$.fill.symbol') AS symbol,
           json_extract(payload, '$.fill.side') AS side,
           CAST(json_extract(payload, '$.fill.quantity') AS REAL) AS quantity,
           CAST(json_extract(payload, '$.fill.price') AS REAL) AS price,
           CAST(json_extract(payload, '$.fill.fee') AS REAL) AS fee,
           json_extract(payload, '$.fill.maker') AS maker
    FROM events WHERE kind = 'Filled'
    """,
    """
    CREATE VIEW decisions AS
    SELECT events.account, events.seq, events.ts,
           json_extract(verdict.value, '$[0]') AS symbol,
           json_extract(verdict.value, '$[1]') AS action,
           json_extract(verdict.value, '$[2]') AS reason,
           json_extract(verdict.value, '$[3]') AS rule,
           json_extract(verdict.value, '$[4]') AS wanted_notional,
           json_extract(verdict.value, '$[5]') AS allowed_notional,
           json_extract(verdict.value, '$[6]') AS confidence,
           json_extract(verdict.value, '$[7]') AS score
    FROM events, json_each(events.payload, '$.decision.verdicts') AS verdict WHERE events.kind = 'DecisionMade'
    """,
)
POSTGRES = (
    """
    CREATE VIEW fills AS
    SELECT account, seq, ts::timestamptz AS ts,
           fill ->> 'fill_id' AS fill_id,
           fill ->> 'client_id' AS client_id,
           fill ->> 'symbol' AS symbol,
           fill ->> 'side' AS side,
           (fill ->> 'quantity')::numeric AS quantity,
           (fill ->> 'price')::numeric AS price,
           (fill ->> 'fee')::numeric AS fee,
           (fill ->> 'maker')::boolean AS maker
    FROM events CROSS JOIN LATERAL (SELECT payload::json -> 'fill' AS fill) AS read WHERE kind = 'Filled'
    """,
    """
    CREATE VIEW decisions AS
    SELECT account, seq, ts::timestamptz AS ts,
           verdict ->> 0 AS symbol,
           verdict ->> 1 AS action,
           verdict ->> 2 AS reason,
           verdict ->> 3 AS rule,
           (verdict ->> 4)::double precision AS wanted_notional,
           (verdict ->> 5)::double precision AS allowed_notional,
           (verdict ->> 6)::double precision AS confidence,
           (verdict ->> 7)::double precision AS score
    FROM events CROSS JOIN LATERAL json_array_elements(payload::json -> 'decision' -> 'verdicts') AS verdict
    WHERE kind = 'DecisionMade'
    """,
)


def upgrade() -> None:
    for view in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(view)
