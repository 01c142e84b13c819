// Holds a lock until a line comes in: `node lock-holder.mjs <port> <name> <leaseMs>`. Says what happens, a line each.
import { once } from 'node:events'
import { redisLock } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'

const [port, name, leaseMs] = process.argv.slice(2)
const client = new Redis({ port: Number(port), host: '127.0.0.1' })
const withLock = redisLock(client, { leaseMs: Number(leaseMs) })
const say = (line) => process.stdout.write(`${line}\n`)

const task = async () => {
  say('held')
  await once(process.stdin, 'data')
}
await withLock(name, task, { onLost: () => say('lost') })
say('done')
client.disconnect()
process.stdin.destroy()
