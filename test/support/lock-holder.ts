import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { WithLock } from 'evertoken'
import { root } from './manifest.ts'

/** Where a lock is kept: the port of a server on this machine, or a folder. */
export interface LockPlace {
  readonly kind: 'redis' | 'postgres' | 'file'
  readonly place: string | number
}

/** A process of its own that asks for the lock `name`, says `asks`, `held`, `lost` and `done`, and ends its task when a line comes in. */
export interface Holder {
  readonly child: ChildProcess
  /** The next thing that it says. */
  next(): Promise<string>
  finish(): void
}

/** Starts a process that asks for the lock. */
export function askElsewhere({ kind, place }: LockPlace, leaseMs: number): Holder {
  const args = ['test/support/programs/lock-holder.mjs', kind, String(place), 'name', String(leaseMs)]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: string[] = []
  const reader = createInterface(child.stdout).on('line', (line) => lines.push(line))
  return {
    child,
    async next() {
      if (lines.length === 0) await Promise.race([once(reader, 'line'), once(reader, 'close')])
      return lines.shift() ?? 'nothing more'
    },
    finish: () => void child.stdin.end('finish'),
  }
}

/** Starts a process that holds the lock. */
export async function holdElsewhere(place: LockPlace, leaseMs: number): Promise<Holder> {
  const holder = askElsewhere(place, leaseMs)
  for (const expected of ['asks', 'held']) {
    const said = await holder.next()
    if (said !== expected) throw new Error(`lock-holder: expected "${expected}", got "${said}"`)
  }
  return holder
}

/** Runs a task that can wait for the news of a loss, and counts that news. */
export async function withLoss<T>(lock: WithLock, task: (lost: Promise<void>) => Promise<T>): Promise<unknown> {
  let losses = 0
  let tell = (): void => {}
  const lost = new Promise<void>((resolve) => {
    tell = resolve
  })
  const onLost = (): void => {
    losses++
    tell()
  }
  return { result: await lock('name', () => task(lost), { onLost }), losses }
}
