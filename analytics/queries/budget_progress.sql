-- Up to which offset the ledger has the journal.
SELECT partition, max(offset) AS last_offset
FROM {database:Identifier}.calls_log
WHERE cluster = {cluster:String} AND topic = {topic:String}
GROUP BY partition
