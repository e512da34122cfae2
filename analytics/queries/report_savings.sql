-- What the published answers would have cost on one model alone, for each model of which rates are given (US dollars a
-- million tokens), against all that was paid, judges and comparisons included. Other models may count and cache tokens
-- otherwise; here they are those of the answers.
WITH
    (
        SELECT (sum(input_tokens), sum(cached_tokens), sum(output_tokens))
        FROM {database:Identifier}.{results:Identifier}
        WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    ) AS tokens,
    (
        SELECT sum(cost_usd)
        FROM {database:Identifier}.{spend:Identifier}
        WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    ) AS paid
SELECT
    model,
    toDecimal128(
        toDecimal128(tokens.1 - least(tokens.1, tokens.2), 0) * input_rate
            + toDecimal128(tokens.2, 0) * cached_rate
            + toDecimal128(tokens.3, 0) * output_rate,
        12
    ) / 1000000 AS alone_usd,
    alone_usd - paid AS saved_usd,
    if(alone_usd = 0, NULL, toFloat64(saved_usd) / toFloat64(alone_usd)) AS saved_share
FROM (SELECT 1)
ARRAY JOIN
    {models:Array(String)} AS model,
    {input_rates:Array(Decimal(18, 6))} AS input_rate,
    {cached_rates:Array(Decimal(18, 6))} AS cached_rate,
    {output_rates:Array(Decimal(18, 6))} AS output_rate
ORDER BY alone_usd DESC, model
