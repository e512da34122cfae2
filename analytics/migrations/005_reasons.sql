-- Why an answer that is degraded was not good enough.

ALTER TABLE {database}.requests_log
    ADD COLUMN IF NOT EXISTS reason String DEFAULT '' CODEC(ZSTD)
        COMMENT 'why a degraded answer was not good enough, and why there is no better one' AFTER error_code;

-- A view keeps the columns that its tables had when it was made.
CREATE OR REPLACE VIEW {database}.requests AS
SELECT * FROM {database}.requests_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
