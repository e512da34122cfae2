-- Some requests of an hour or a day that show what a finding is about, dearest first. A value of '' or 0 asks for nothing.
SELECT request_id
FROM {database:Identifier}.requests_log
WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
    AND ({user_id:String} = '' OR user_id = {user_id:String})
    AND ({feature:String} = '' OR feature = {feature:String})
    AND ({query_type:String} = '' OR query_type = {query_type:String})
    AND ({tier:UInt8} = 0 OR tier = {tier:UInt8})
    AND ({model:String} = '' OR concat(provider, '/', model) = {model:String})
    AND ({signature:UInt64} = 0 OR bitCount(bitXor(signature, {signature:UInt64})) <= {bits:UInt8})
ORDER BY cost_usd DESC, request_id
LIMIT 1 BY request_id
LIMIT 3
