-- Which partitions of a topic have rows, and up to which offset.
SELECT partition, count() AS rows, max(offset) AS last_offset
FROM {database:Identifier}.{view:Identifier}
WHERE cluster = {cluster:String} AND topic = {topic:String}
GROUP BY partition
ORDER BY partition
