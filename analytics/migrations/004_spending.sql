-- What was paid, by whom and for what: a row a paid call of a request, with the dimensions of the request's result.
--
-- Money is summed over calls. A step stands in `hops` as often as its record was delivered, and a result has the
-- attempts of its route alone, not the call that a crash made travel again; `call_ledger` has each paid call once.
-- ANY, because an id that is used anew after the window has a second result, which must not double its calls.
CREATE VIEW IF NOT EXISTS {database}.spending AS
SELECT *
FROM {database}.call_ledger AS call
ANY LEFT JOIN
(
    SELECT request_id, revision, status AS request_status, user_id, feature, query_type, service_class, tags
    FROM {database}.requests
) AS request USING (request_id, revision);
