// Runs the statements of standard input through @clickhouse/client and prints what each returned as a line of JSON.
//
// A statement ends with a NUL character. "batch TABLE" inserts rows, and "echo TEXT" binds a parameter. All belong to
// one session; a statement that is refused prints its code. Values are as ClickHouse writes them in JSON.
import { text } from 'node:stream/consumers'

import { ClickHouseLogLevel, createClient } from '@clickhouse/client'

const BATCH = [
  {
    n: 1, cost: '0.000000000001', at: '2026-03-31 23:59:58.123456', body: 'a\'b"c`\\ \t\n ü 漢字 🚀', note: null,
    route: ['T1', 'T2 ü'], tags: { team: "a'b" },
  },
  {
    n: 2, cost: '-99999999999999999999999999.999999999999', at: '1970-01-01 00:00:00.000000', body: '', note: 'note',
    route: [], tags: {},
  },
]

const client = createClient({
  url: process.argv[2],
  session_id: `session-${process.pid}`,
  compression: { request: process.argv[3] === 'compressed', response: process.argv[3] === 'compressed' },
  log: { level: ClickHouseLogLevel.OFF },
})

async function run(statement) {
  if (statement.startsWith('batch ')) {
    await client.insert({ table: statement.slice('batch '.length), values: BATCH, format: 'JSONEachRow' })
    return {}
  }
  if (statement.startsWith('echo ')) {
    return read('SELECT {text:String} AS text', { text: statement.slice('echo '.length) })
  }
  if (/^(CREATE|DROP|SET)\b/.test(statement)) {
    await client.command({ query: statement })
    return {}
  }
  return read(statement)
}

async function read(query, parameters) {
  const result = await client.query({ query, query_params: parameters, format: 'JSONCompact' })
  const { meta, data } = await result.json()
  return { columns: meta.map((column) => column.name), rows: data }
}

const statements = (await text(process.stdin)).split('\0').slice(0, -1)
if (!(await client.ping()).success) throw new Error('no answer to a ping')
for (const statement of statements) {
  let answer
  try {
    answer = await run(statement)
  } catch (error) {
    answer = { code: Number(error.code), message: error.message }
  }
  console.log(JSON.stringify(answer))
}
await client.close()
