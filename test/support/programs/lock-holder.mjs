// Holds a lock until a line comes in: `node lock-holder.mjs <redis|postgres|file> <port or folder> <name> <leaseMs>`. Says what happens, a line each.
import { once } from 'node:events'
import { openLock } from './open-lock.mjs'

const [kind, place, name, leaseMs] = process.argv.slice(2)
const { withLock, close } = await openLock(kind, place, {
  leaseMs: Number(leaseMs),
  deadlineMs: Math.min(Number(leaseMs) / 3, 1000),
})
const say = (line) => process.stdout.write(`${line}\n`)

const task = async () => {
  say('held')
  await once(process.stdin, 'data')
}
say('asks')
await withLock(name, task, { onLost: () => say('lost') })
say('done')
await close()
process.stdin.destroy()
