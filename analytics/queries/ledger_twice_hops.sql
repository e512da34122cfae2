-- Steps that the view counts under this topic and under another identity too.
SELECT request_id AS subject, count() AS rows
FROM {database:Identifier}.hops
GROUP BY request_id, revision, stage, idx, started_at, ended_at, attempt_id
HAVING countIf(cluster = {cluster:String} AND topic = {topic:String} AND partition < {partitions:UInt32}) > 0
    AND countIf(NOT (cluster = {cluster:String} AND topic = {topic:String} AND partition < {partitions:UInt32})) > 0
ORDER BY subject
