-- The calls of tools that an answer makes are a text like the answer, and are kept as it is.

ALTER TABLE {database}.bodies_log
    MODIFY COLUMN part Enum8('content' = 1, 'error' = 2, 'tool_calls' = 3)
        COMMENT 'the answer, the message of the error, or the calls of tools in the answer, as JSON';

-- A view keeps the types that its table had when it was made.
CREATE OR REPLACE VIEW {database}.bodies AS
SELECT * FROM {database}.bodies_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
