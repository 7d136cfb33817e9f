"""A scripted agent CLI as a real process: it asks no model, and shows and tests everything that a real one does.

`python -m agent.rehearsal --script FILE --state DIR --session ID --outbox DIR`. Its own small protocol, one JSON object
per line. In: input {id, text}, answer {ask, picks, text}, interrupt, end. Out: a report of `agent.wire` with a `ref`
that is the same in every life of the session, `text_so_far`, `done {id}`, `close {reason, words}`.

Each output is in the session's file before it is printed, and everything in the file is printed again at the start:
nothing that was on its way when somebody was killed is lost, and the driver knows by the `ref` what it has seen.
"""
