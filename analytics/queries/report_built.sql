-- When the roll-ups were last brought up to date.
SELECT if(count() = 0, NULL, max(built_at)) AS built_at
FROM {database:Identifier}.rollup_hours
