import { memoryStore, type TokenStore } from 'evertoken'
import { describe, expect, it, vi } from 'vitest'
import { createRecorder, type Recorder } from '../support/fixtures.ts'
import { createTestClock, settle, type TestClock } from '../support/test-clock.ts'
import { itKeepsTheStoreContract } from '../support/token-store-contract.ts'

const { tolerantStore } = await vi.importActual<typeof import('../../src/store/index.ts')>('../../src/store/index.ts')

type Answer = () => unknown

const DOWN = { name: 'store_down', store: 'tokens', access: 'read', error: 'Error' }
const UP = { name: 'store_up', store: 'tokens', access: 'read' }

const refuses: Answer = () => Promise.reject(new Error('refused'))
const hangs: Answer = () => new Promise(() => {})

interface Tolerated {
  readonly store: TokenStore
  /** What the store behind it was asked. */
  readonly asked: string[]
  /** How it answers reads and writes. */
  readonly answers: { read: Answer; write: Answer }
  readonly clock: TestClock
  readonly recorder: Recorder
}

function tolerated(answers: Tolerated['answers']): Tolerated {
  const clock = createTestClock()
  const recorder = createRecorder()
  const asked: string[] = []
  const ask = (what: string, answer: Answer): never => {
    asked.push(what)
    return answer() as never
  }
  const store: TokenStore = {
    get: (key) => ask(`get ${key}`, answers.read),
    set: (key) => ask(`set ${key}`, answers.write),
    delete: (key) => ask(`delete ${key}`, answers.write),
  }
  return { store: tolerantStore(store, { clock, telemetry: recorder }), asked, answers, clock, recorder }
}

describe('C2 a tolerant store', () => {
  itKeepsTheStoreContract(() => {
    const clock = createTestClock()
    const store = tolerantStore(memoryStore({ clock }), { clock, telemetry: createRecorder() })
    return { store, clock, advance: clock.advance }
  })

  const failures: readonly { readonly name: string; readonly answer: Answer; readonly error: string }[] = [
    { name: 'rejects', answer: refuses, error: 'Error' },
    {
      name: 'throws',
      answer: () => {
        throw new TypeError('broken')
      },
      error: 'TypeError',
    },
    { name: 'rejects with nothing', answer: () => Promise.reject(), error: 'thrown' },
    { name: 'hangs', answer: hangs, error: 'store_timeout' },
  ]
  it.each(failures)('F6.01 opens after three failures of a store that $name, and tells it once', async (row) => {
    const { store, asked, clock, recorder } = tolerated({ read: row.answer, write: row.answer })
    const first = [1, 2, 3].map(() => store.get('key'))
    await settle()
    await clock.advance(250)
    const others = Array.from({ length: 100 }, () => store.get('key'))
    expect(new Set(await Promise.all([...first, ...others]))).toEqual(new Set([undefined]))
    expect(asked).toHaveLength(3)
    expect(recorder.failures).toEqual(Array.from({ length: 3 }, () => `store.get ${row.error}`))
    expect(recorder.events).toEqual([{ ...DOWN, error: row.error }])
    expect(clock.pending).toBe(0)
  })

  it('F6.01 asks a store that is down once a second, however many call, and attaches to it again by itself', async () => {
    const { store, asked, answers, clock, recorder } = tolerated({ read: refuses, write: refuses })
    for (let call = 0; call < 3; call++) await store.get('key')
    for (let second = 0; second < 60; second++) {
      await clock.advance(1000)
      await Promise.all(Array.from({ length: 100 }, () => store.get('key')))
    }
    expect(asked).toHaveLength(63)
    answers.read = () => 'value'
    await clock.advance(999)
    expect(await store.get('key')).toBeUndefined()
    await clock.advance(1)
    expect([await store.get('key'), await store.get('key')]).toEqual(['value', 'value'])
    expect(recorder.events).toEqual([DOWN, UP])
  })

  it('F6.01 costs no time while it is down, and 10 ms where the call that tries it hangs', async () => {
    const { store, asked, clock } = tolerated({ read: hangs, write: hangs })
    const slow = [1, 2, 3].map(() => store.get('key'))
    await clock.advance(250)
    await Promise.all(slow)
    expect([await store.get('key'), clock.pending]).toEqual([undefined, 0])
    await clock.advance(1000)
    let isFree = false
    const probe = Promise.resolve(store.get('key')).then(() => {
      isFree = true
    })
    await settle()
    await clock.advance(9)
    expect([isFree, await store.get('key')]).toEqual([false, undefined])
    await clock.advance(1)
    await probe
    expect(asked).toHaveLength(4)
    await clock.advance(240)
    expect(clock.pending).toBe(0)
  })

  it('F6.01 counts the late answer of the call that tried it, and gives it to nobody', async () => {
    const late = held()
    const { store, answers, clock, recorder } = tolerated({ read: refuses, write: refuses })
    for (let call = 0; call < 3; call++) await store.get('key')
    answers.read = () => late.promise
    await clock.advance(1000)
    const probe = store.get('key')
    await settle()
    await clock.advance(10)
    expect(await probe).toBeUndefined()
    late.resolve('late')
    await settle()
    answers.read = () => 'value'
    expect(await store.get('key')).toBe('value')
    expect(recorder.events).toEqual([DOWN, UP])
  })

  it('F6.02 waits 250 ms for a slow store, and ignores what it says later', async () => {
    const late = [held(), held()] as const
    const { store, answers, clock, recorder } = tolerated({ read: () => late[0].promise, write: refuses })
    const first = store.get('key')
    answers.read = () => late[1].promise
    const second = store.get('key')
    await clock.advance(249)
    late[1].resolve('in time')
    expect(await second).toBe('in time')
    await clock.advance(1)
    expect(await first).toBeUndefined()
    late[0].reject(new Error('late'))
    await settle()
    expect(recorder.failures).toEqual(['store.get store_timeout'])
    expect(recorder.events).toEqual([])
  })

  it('F6.02 tells the store by a signal that nobody waits any more', async () => {
    const clock = createTestClock()
    const signals: AbortSignal[] = []
    const inner: TokenStore = {
      get: (_, options) => {
        if (options?.signal !== undefined) signals.push(options.signal)
        return new Promise<never>(() => {})
      },
      set: () => {},
      delete: () => {},
    }
    const value = tolerantStore(inner, { clock, telemetry: createRecorder() }).get('key')
    await settle()
    expect(signals.map(({ aborted }) => aborted)).toEqual([false])
    await clock.advance(250)
    await value
    expect(signals.map(({ aborted }) => aborted)).toEqual([true])
  })

  it('frees a caller that leaves, with its reason, and takes that for no failure', async () => {
    const { store, clock, recorder } = tolerated({ read: hangs, write: refuses })
    const gone = new Error('gone')
    await expect(store.get('key', { signal: AbortSignal.abort(gone) })).rejects.toBe(gone)
    expect(recorder.failures).toEqual([])
    await clock.advance(250)
    expect(recorder.failures).toEqual(['store.get store_timeout'])
  })

  it('F6.07 goes on reading where writes fail', async () => {
    const { store, asked, recorder } = tolerated({ read: () => 'value', write: refuses })
    for (let call = 0; call < 10; call++) await store.set('key', 'value', 0)
    await store.delete('key')
    expect(await store.get('key')).toBe('value')
    expect(asked).toEqual(['set key', 'set key', 'set key', 'get key'])
    expect(recorder.events).toEqual([{ ...DOWN, access: 'write' }])
  })

  it('F6.07 goes on writing where reads fail', async () => {
    const { store, asked, recorder } = tolerated({ read: refuses, write: () => {} })
    for (let call = 0; call < 10; call++) await store.get('key')
    await store.set('key', 'value', 0)
    await store.delete('key')
    expect(asked.slice(3)).toEqual(['set key', 'delete key'])
    expect(recorder.events).toEqual([DOWN])
  })

  it('does not count failures that are not in a row', async () => {
    const { store, answers, recorder } = tolerated({ read: refuses, write: refuses })
    for (let round = 0; round < 10; round++) {
      answers.read = round % 3 === 2 ? () => undefined : refuses
      await store.get('key')
    }
    expect(recorder.failures).toHaveLength(7)
    expect(recorder.events).toEqual([])
  })
})

function held(): {
  readonly promise: Promise<string>
  readonly resolve: (value: string) => void
  readonly reject: (error: Error) => void
} {
  let resolve: (value: string) => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<string>((onValue, onError) => {
    resolve = onValue
    reject = onError
  })
  return { promise, resolve, reject }
}
