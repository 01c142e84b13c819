import { once } from 'node:events'
import type { Awaitable, WithLock } from 'evertoken'
import { afterEach, expect, it } from 'vitest'
import { rejection } from './fixtures.ts'
import { askElsewhere, type Holder, holdElsewhere, type LockPlace, withLoss } from './lock-holder.ts'

/** What every lock that processes share can be told. */
interface LeaseOptions {
  readonly leaseMs?: number
  readonly deadlineMs?: number
  readonly waitMs?: number
}

/** One kind of lock that processes share. */
export interface LeaseUnderTest {
  /** A lock as another process would have it. */
  createLock(options?: LeaseOptions): Awaitable<WithLock>
  readonly place: LockPlace
  /** Takes all locks there away from those who hold them. */
  loseLocks(): Awaitable<void>
}

/** Long enough for a loaded machine to renew in time, short enough to outwait. */
export const LEASE_MS = 900
const SHORT = { leaseMs: LEASE_MS, deadlineMs: LEASE_MS / 3 }

/** What everybody may expect of a lock that lasts for a lease, as tests; to be called inside `describe`. */
export function itKeepsTheLeaseContract(
  subject: () => LeaseUnderTest,
  short: { readonly leaseMs: number; readonly deadlineMs: number } = SHORT,
): void {
  const { leaseMs } = short
  const holders: Holder[] = []
  afterEach(() => {
    for (const { child } of holders.splice(0)) child.kill('SIGKILL')
  })
  const created = async (options?: LeaseOptions): Promise<WithLock> => subject().createLock(options)
  const started = <T extends Holder>(holder: T): T => {
    holders.push(holder)
    return holder
  }

  it('F7.07 keeps a lock for as long as the task runs, however short the lease', async () => {
    const [holder, waiter] = [await created(short), await created({ ...short, waitMs: leaseMs * 2 })]
    let losses = 0
    const task = async (): Promise<unknown> => rejection(waiter('name', async () => 'taken'))
    const refused = await holder('name', task, { onLost: () => losses++ })
    expect(refused).toMatchObject({ name: 'StoreError', code: 'lock_timeout', retryable: true })
    expect(losses).toBe(0)
    expect(await waiter('name', async () => 'free')).toBe('free')
  })

  it('F7.03 tells of a lock that was lost while the task runs; the task goes on', async () => {
    const task = async (lost: Promise<void>): Promise<string> => {
      await subject().loseLocks()
      await lost
      return 'finished'
    }
    expect(await withLoss(await created(short), task)).toEqual({ result: 'finished', losses: 1 })
  })

  it('F7.03 tells at the end of a task of a lock that was lost in its last moments', async () => {
    const task = async (): Promise<string> => {
      await subject().loseLocks()
      return 'finished'
    }
    expect(await withLoss(await created(), task)).toEqual({ result: 'finished', losses: 1 })
  })

  it('F7.04 releases nothing of whoever has had a turn since the lock was lost', async () => {
    const [one, other, third] = [await created(), await created(), await created({ waitMs: 500 })]
    let running: Promise<unknown> | undefined
    const refused = await new Promise<unknown>((resolve) => {
      const first = one('name', async () => {
        await subject().loseLocks()
        await new Promise<void>((held) => {
          running = other('name', async () => {
            held()
            await first
            resolve(await rejection(third('name', async () => 'taken')))
          })
        })
      })
    })
    expect(refused).toMatchObject({ code: 'lock_timeout' })
    await running
    expect(await third('name', async () => 'free')).toBe('free')
  })

  it('C6 F7.01 goes to the next one when its holder is killed, when the lease is over at the latest', async () => {
    const { child } = started(await holdElsewhere(subject().place, leaseMs * 2))
    const lock = await created({ ...short, leaseMs: leaseMs * 2 })
    child.kill('SIGKILL')
    // It waits for a second longer than the lease, and no longer.
    expect(await lock('name', async () => 'next')).toBe('next')
  })

  it('C6 F7.02 F7.04 goes to the next one when its holder is paused; that one hears so when it runs again, and releases nothing', async () => {
    const holder = started(await holdElsewhere(subject().place, leaseMs))
    const [lock, third] = [await created(short), await created({ ...short, waitMs: leaseMs })]
    holder.child.kill('SIGSTOP')
    // It waits for a second longer than the lease, and no longer.
    const seen = await lock('name', async () => {
      holder.child.kill('SIGCONT')
      const said = [await holder.next()]
      holder.finish()
      said.push(await holder.next())
      const refused = await rejection(third('name', async () => 'taken'))
      return { said, refused }
    })
    expect(seen).toMatchObject({ said: ['lost', 'done'], refused: { code: 'lock_timeout' } })
    expect(await third('name', async () => 'free')).toBe('free')
    // Nothing of the lock keeps it alive.
    if (holder.child.exitCode === null) await once(holder.child, 'exit')
    expect(holder.child.exitCode).toBe(0)
  })

  it("F7.04 F7.02 releases nothing that is the next one's when its task ends in the moment in which it runs again", async () => {
    const holder = started(await holdElsewhere(subject().place, leaseMs))
    const [lock, third] = [await created(short), await created({ ...short, waitMs: leaseMs })]
    holder.child.kill('SIGSTOP')
    const seen = await lock('name', async () => {
      holder.finish()
      holder.child.kill('SIGCONT')
      const said = [await holder.next(), await holder.next()]
      return { said, refused: await rejection(third('name', async () => 'taken')) }
    })
    expect(seen).toMatchObject({ said: ['lost', 'done'], refused: { code: 'lock_timeout' } })
  })

  it('C6 F7.02 has four who wait take turns when a holder is paused: one at a time, and each of them', async () => {
    const holder = started(await holdElsewhere(subject().place, leaseMs))
    const locks = await Promise.all(Array.from({ length: 4 }, () => created({ ...short, waitMs: 20_000 })))
    holder.child.kill('SIGSTOP')
    let [inside, most] = [0, 0]
    const task = async (): Promise<string> => {
      most = Math.max(most, ++inside)
      await new Promise(setImmediate)
      inside--
      return 'had a turn'
    }
    expect(await Promise.all(locks.map((lock) => lock('name', task)))).toEqual(Array(4).fill('had a turn'))
    expect(most).toBe(1)
  })

  it('keeps a process alive that has nothing to do but to wait for its turn', async () => {
    const [lock, other] = [await created(short), await created({ ...short, waitMs: leaseMs })]
    const waiter = await lock('name', async () => {
      const waiting = started(askElsewhere(subject().place, 60_000))
      expect(await waiting.next()).toBe('asks')
      // For that long it has nothing but its pauses.
      await rejection(other('name', async () => 'taken'))
      expect(waiting.child.exitCode).toBeNull()
      return waiting
    })
    expect(await waiter.next()).toBe('held')
    waiter.finish()
    expect(await waiter.next()).toBe('done')
  })

  it('lets go of a caller who asks meanwhile and never hears, by its signal and when the time is up, and holds up nobody for it', async () => {
    const [holder, lock] = [await created(), await created({ waitMs: 500 })]
    const [controller, reason] = [new AbortController(), new Error('gone')]
    const hang = (): Promise<never> => new Promise(() => {})
    const hangUntilGone = (): Promise<never> => {
      controller.abort(reason)
      return hang()
    }
    const task = async (): Promise<string> => 'had a turn'
    await holder('name', async () => {
      const options = { signal: controller.signal, meanwhile: hangUntilGone }
      expect(await rejection(lock('name', task, options))).toBe(reason)
      expect(await rejection(lock('name', task, { meanwhile: hang }))).toMatchObject({ code: 'lock_timeout' })
    })
    let waiting: Promise<unknown> | undefined
    // Asks as soon as its turn in this process comes.
    await lock('name', async () => {
      waiting = rejection(lock('name', task, { meanwhile: hang }))
    })
    expect(await waiting).toMatchObject({ code: 'lock_timeout' })
    expect(await lock('name', task)).toBe('had a turn')
  })

  it.each<{ name: string; options: object; code: string; message: string }>([
    { name: 'a lease of nothing', options: { leaseMs: 0 }, code: 'option_invalid', message: 'leaseMs' },
    { name: 'a lease without end', options: { leaseMs: Infinity }, code: 'option_invalid', message: 'leaseMs' },
    { name: 'a lease shorter than a renewal', options: { leaseMs: 500 }, code: 'option_invalid', message: 'leaseMs' },
    { name: 'a deadline that is a text', options: { deadlineMs: '1' }, code: 'option_invalid', message: 'deadlineMs' },
    { name: 'a wait below zero', options: { waitMs: -1 }, code: 'option_invalid', message: 'waitMs' },
    { name: 'a clock that is none', options: { clock: {} }, code: 'option_invalid', message: 'clock' },
    { name: 'an option that does not exist', options: { ttl: 7 }, code: 'option_unknown', message: '"ttl"' },
  ])('refuses $name', async ({ options, code, message }) => {
    const error = await rejection(created(options))
    expect(error).toMatchObject({ name: 'ConfigurationError', code, message: expect.stringContaining(message) })
  })
}
