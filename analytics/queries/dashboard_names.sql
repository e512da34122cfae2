-- What there is to choose from in the search: names that results of the period have.
SELECT
    arraySort(groupUniqArray(200)(concat(provider, '/', model))) AS models,
    arraySort(groupUniqArray(200)(feature)) AS features,
    arraySort(groupUniqArray(200)(query_type)) AS query_types
FROM {database:Identifier}.results_by_day
WHERE bucket >= toStartOfDay({since:DateTime('UTC')}) AND bucket < {until:DateTime('UTC')}
