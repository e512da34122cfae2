-- Calls that the view counts under this topic and under another identity too.
SELECT toString(call_id) AS subject, count() AS rows
FROM {database:Identifier}.calls
GROUP BY request_id, revision, call_id, event
HAVING countIf(cluster = {cluster:String} AND topic = {topic:String} AND partition < {partitions:UInt32}) > 0
    AND countIf(NOT (cluster = {cluster:String} AND topic = {topic:String} AND partition < {partitions:UInt32})) > 0
ORDER BY subject
