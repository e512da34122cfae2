-- Results that the view counts under this topic and under another identity too.
SELECT request_id AS subject, count() AS rows
FROM {database:Identifier}.requests
GROUP BY request_id, revision, settled_at, source_topic, source_partition, source_offset
HAVING countIf(cluster = {cluster:String} AND topic = {topic:String} AND partition < {partitions:UInt32}) > 0
    AND countIf(NOT (cluster = {cluster:String} AND topic = {topic:String} AND partition < {partitions:UInt32})) > 0
ORDER BY subject
