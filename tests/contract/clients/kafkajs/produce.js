// Produces what stdin says to a topic: each line has a codec, a mode and values, divided by tabs.
const readline = require('node:readline')
const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = require('kafkajs')
const SnappyCodec = require('kafkajs-snappy')
const { compressFrame } = require('lz4-napi')
const { ZstdCodec } = require('zstd-codec')

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

// kafkajs itself has gzip alone.
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: (encoder) => compressFrame(encoder.buffer) })
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) =>
    new Promise((resolve) => ZstdCodec.run((zstd) => resolve(Buffer.from(new zstd.Simple().compress(encoder.buffer))))),
})

async function produce(kafka, topic, codec, mode, values) {
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    ...(mode === 'plain'
      ? {}
      : { transactionalId: `${topic}.kafkajs.${codec}.${mode}`, idempotent: true, maxInFlightRequests: 1 }),
  })
  const batch = { topic, compression: CODECS[codec], messages: values.map((value) => ({ value })) }
  await producer.connect()
  if (mode === 'plain') {
    await producer.send(batch)
  } else {
    const transaction = await producer.transaction()
    await transaction.send(batch)
    await (mode === 'commit' ? transaction.commit() : transaction.abort())
  }
  await producer.disconnect()
}

async function main([servers, topic]) {
  const kafka = new Kafka({ brokers: servers.split(','), logLevel: logLevel.ERROR })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [codec, mode, ...values] = line.split('\t')
    await produce(kafka, topic, codec, mode, values)
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(1)
})
