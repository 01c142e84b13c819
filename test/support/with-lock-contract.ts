import type { Awaitable, WithLock } from 'evertoken'
import { expect, it } from 'vitest'
import { rejection } from './fixtures.ts'

/** Two holders of one lock, as two processes are; in one process both may be the same. */
export interface LockUnderTest {
  readonly locks: readonly [WithLock, WithLock]
  readonly close?: (() => Awaitable<void>) | undefined
}

/** A promise that is settled by hand. */
interface Door {
  readonly opened: Promise<void>
  open(): void
}

function createDoor(): Door {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

const NAMES = ['', 'a', 'A', 'a ', 'a:b', 'a::b', 'a|b', '{a}b', '*', 'é', 'e\u0301', '__proto__', 'n'.repeat(10_000)]

/** What everybody may expect of a {@link WithLock}, as tests; to be called inside `describe`. A lock need not ask those who wait (`meanwhile`). */
export function itKeepsTheLockContract(create: () => Awaitable<LockUnderTest>, { asksWaiters = true } = {}): void {
  const keeps = (name: string, body: (locks: readonly [WithLock, WithLock]) => Promise<void>): void =>
    it(name, async () => {
      const subject = await create()
      try {
        await body(subject.locks)
      } finally {
        await subject.close?.()
      }
    })

  keeps('gives what the task gives', async ([lock]) => {
    expect(await lock('name', async () => 'result')).toBe('result')
    expect(await lock('name', async () => undefined)).toBeUndefined()
  })

  keeps('passes on the very error of a task, and is free afterwards', async ([one, other]) => {
    const error = new Error('of the task')
    const failing = async (): Promise<never> => {
      throw error
    }
    expect(await rejection(one('name', failing))).toBe(error)
    expect(await other('name', async () => 'next')).toBe('next')
  })

  keeps('is free after a task that throws before it gives a promise', async ([one, other]) => {
    const error = new Error('at once')
    const throwing = (): Promise<never> => {
      throw error
    }
    expect(await rejection(one('name', throwing))).toBe(error)
    expect(await other('name', async () => 'next')).toBe('next')
  })

  keeps('runs one task at a time under one name, and every one of them', async (locks) => {
    let inside = 0
    let most = 0
    const task = async (): Promise<void> => {
      inside++
      most = Math.max(most, inside)
      await new Promise(setImmediate)
      inside--
    }
    const runs = Array.from({ length: 40 }, (_, at) => (locks[at % 2] ?? locks[0])('name', task))
    expect(await Promise.all(runs)).toHaveLength(40)
    expect(most).toBe(1)
  })

  keeps('lets tasks of other names run meanwhile, however odd the names', async ([one, other]) => {
    const door = createDoor()
    const entered = NAMES.map(() => createDoor())
    const runs = NAMES.map((name, at) =>
      (at % 2 ? one : other)(name, () => {
        entered[at]?.open()
        return door.opened
      }),
    )
    await Promise.all(entered.map(({ opened }) => opened))
    door.open()
    expect(await Promise.all(runs)).toHaveLength(NAMES.length)
  })

  keeps('does not begin for a caller who has gone already', async ([lock]) => {
    const reason = new Error('gone')
    let hasBegun = false
    const task = async (): Promise<void> => {
      hasBegun = true
    }
    expect(await rejection(lock('name', task, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    expect(hasBegun).toBe(false)
    expect(await lock('name', async () => 'free')).toBe('free')
  })

  keeps('lets a caller who waits go, and lets the others have their turn', async ([one, other]) => {
    const [held, door, controller] = [createDoor(), createDoor(), new AbortController()]
    const holding = one('name', () => {
      held.open()
      return door.opened
    })
    await held.opened
    let hasBegun = false
    const task = async (): Promise<void> => {
      hasBegun = true
    }
    const reasons = [one, other].map((lock) => rejection(lock('name', task, { signal: controller.signal })))
    const staying = other('name', async () => 'stayed')
    const reason = new Error('gone')
    controller.abort(reason)
    expect(await Promise.all(reasons)).toEqual([reason, reason])
    door.open()
    await holding
    expect(await staying).toBe('stayed')
    expect(hasBegun).toBe(false)
  })

  keeps('does not touch a task that runs when its caller goes', async ([lock]) => {
    const [held, door, controller] = [createDoor(), createDoor(), new AbortController()]
    const task = async (): Promise<string> => {
      held.open()
      await door.opened
      return 'finished'
    }
    const running = lock('name', task, { signal: controller.signal })
    await held.opened
    controller.abort(new Error('gone'))
    door.open()
    expect(await running).toBe('finished')
  })

  keeps('does not tell of a loss where there is none', async ([lock]) => {
    let losses = 0
    await lock('name', async () => 'result', { onLost: () => losses++ })
    expect(losses).toBe(0)
  })

  keeps('does not say that nobody was there before to a caller who has waited', async ([one, other]) => {
    const [held, door] = [createDoor(), createDoor()]
    const holding = one('name', () => {
      held.open()
      return door.opened
    })
    await held.opened
    const waiting = [one, other].map((lock) => lock('name', async (turn) => turn?.isFirst ?? false))
    door.open()
    await holding
    expect(await Promise.all(waiting)).toEqual([false, false])
  })

  keeps('gives what a waiter has found meanwhile, where it asks waiters at all', async ([one, other]) => {
    const [held, door] = [createDoor(), createDoor()]
    const holding = one('name', () => {
      held.open()
      return door.opened
    })
    await held.opened
    const meanwhile = async (): Promise<string> => 'found'
    const waiting = other('name', async () => 'had a turn', { meanwhile })
    if (!asksWaiters) door.open()
    expect(await waiting).toBe(asksWaiters ? 'found' : 'had a turn')
    door.open()
    await holding
    expect(await one('name', async () => 'free')).toBe('free')
  })
}
