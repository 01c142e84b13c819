// For every line `<folder> <time>` that comes in asks for a lock in that folder at that time, and says whether it has it; then keeps it.
import { createInterface } from 'node:readline'
import { fileLock } from 'evertoken/node'

const say = (line) => process.stdout.write(`${line}\n`)

say('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const [folder, time] = line.split(' ')
  const withLock = fileLock(folder, { leaseMs: 60_000, waitMs: 200 })
  const task = () => {
    say('held')
    return new Promise(() => {})
  }
  // All processes start in the same millisecond, or as near to it as the machine lets them.
  while (Date.now() < Number(time));
  withLock('name', task).catch(({ code }) => say(code))
}
