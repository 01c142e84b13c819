import type { Awaitable, Clock, RecordStore } from 'evertoken'
import { expect, it } from 'vitest'
import { ODD_KEYS, ODD_VALUES } from './odd-texts.ts'

/** A record store, empty, as several processes have it, and the time that it goes by. */
export interface RecordsUnderTest {
  /** One for each process: at least one. */
  readonly processes: readonly [RecordStore, ...RecordStore[]]
  /** What instants are reckoned by; of a store that lives elsewhere, this machine's clock. */
  readonly clock: Pick<Clock, 'now'>
  /** Moves that clock on; without it time passes by itself. */
  readonly advance?: ((ms: number) => Promise<void>) | undefined
  /** Ends what the store needs. */
  readonly close?: (() => Awaitable<void>) | undefined
}

/** For how long records are kept that no test waits for. */
const LONG_MS = 3_600_000

interface Subject extends RecordsUnderTest {
  readonly records: RecordStore
  /** One of the processes for each number. */
  readonly process: (at: number) => RecordStore
  readonly expiresAt: number
}

/**
 * What everybody may expect of a {@link RecordStore}, as tests; to be called inside `describe`. The factory is asked for every test.
 */
export function itKeepsTheRecordContract(create: () => Awaitable<RecordsUnderTest>): void {
  const keeps = (name: string, body: (subject: Subject) => Promise<void>): void =>
    it(name, async () => {
      const subject = await create()
      const { processes, clock } = subject
      const [records] = processes
      const process = (at: number): RecordStore => processes[at % processes.length] ?? records
      try {
        await body({ ...subject, records, process, expiresAt: clock.now() + LONG_MS })
      } finally {
        await subject.close?.()
      }
    })

  keeps('gives undefined for what was never written', async ({ records }) => {
    expect(await records.get('nothing')).toBeUndefined()
  })

  keeps(
    'gives what was written, as often as it is asked, in every process',
    async ({ records, process, expiresAt }) => {
      expect(await records.put('key', 'value', { version: 1, expiresAt })).toBe(true)
      expect([await records.get('key'), await records.get('key'), await process(1).get('key')]).toEqual(
        Array(3).fill('value'),
      )
    },
  )

  keeps('U6 replaces a record by one of a higher version, and says so', async ({ records, process, expiresAt }) => {
    for (const version of [0, 1, 7, 8, 1_767_225_600_000, Number.MAX_SAFE_INTEGER]) {
      expect(await process(version).put('key', `v${version}`, { version, expiresAt }), `version ${version}`).toBe(true)
      expect(await records.get('key')).toBe(`v${version}`)
    }
  })

  keeps(
    'F5.10 never replaces one by the same or a lower version, and says so',
    async ({ records, process, expiresAt }) => {
      await records.put('key', 'kept', { version: 10, expiresAt })
      for (const version of [10, 9, 1, 0]) {
        expect(await records.put('key', 'late', { version, expiresAt }), `version ${version}`).toBe(false)
        expect(await process(1).put('key', 'late', { version, expiresAt }), `version ${version}`).toBe(false)
      }
      expect(await records.get('key')).toBe('kept')
      expect(await records.put('key', 'next', { version: 11, expiresAt })).toBe(true)
    },
  )

  keeps('U6 compares versions as numbers, not as texts', async ({ records, expiresAt }) => {
    await records.put('key', 'two digits', { version: 10, expiresAt })
    expect(await records.put('key', 'one digit', { version: 9, expiresAt })).toBe(false)
    expect(await records.put('key', 'three digits', { version: 100, expiresAt })).toBe(true)
  })

  keeps('U6 lets one of a hundred writes of one version write', async ({ process, expiresAt }) => {
    const values = Array.from({ length: 100 }, (_, at) => `value-${at}`)
    const written = await Promise.all(
      values.map((value, at) => process(at).put('key', value, { version: 5, expiresAt })),
    )
    expect(written.filter(Boolean)).toHaveLength(1)
    expect(await process(1).get('key')).toBe(values[written.indexOf(true)])
  })

  keeps('U6 lets one of a hundred equal writes write', async ({ process, expiresAt }) => {
    const writes = Array.from({ length: 100 }, (_, at) => process(at).put('key', 'value', { version: 5, expiresAt }))
    expect((await Promise.all(writes)).filter(Boolean)).toHaveLength(1)
  })

  keeps('U6 has the highest of a hundred versions that are written at once', async ({ process, expiresAt }) => {
    const versions = Array.from({ length: 100 }, (_, at) => ((at * 37) % 100) + 1)
    const written = await Promise.all(
      versions.map((version, at) => process(at).put('key', `v${version}`, { version, expiresAt })),
    )
    expect(written[versions.indexOf(100)]).toBe(true)
    expect(await process(1).get('key')).toBe('v100')
  })

  keeps('U6 loses no count of writers who read, add one and write', async ({ process, expiresAt }) => {
    await process(0).put('key', '0', { version: 0, expiresAt })
    const addOne = async (records: RecordStore): Promise<void> => {
      for (;;) {
        const count = Number(await records.get('key')) + 1
        if (await records.put('key', String(count), { version: count, expiresAt })) return
      }
    }
    await Promise.all(Array.from({ length: 20 }, (_, at) => addOne(process(at))))
    expect(await process(1).get('key')).toBe('20')
  })

  keeps('forgets what is deleted, that alone, and takes any version after that', async ({ records, expiresAt }) => {
    await records.put('key', 'value', { version: 5, expiresAt })
    await records.put('other', 'kept', { version: 5, expiresAt })
    await records.delete('key')
    expect([await records.get('key'), await records.get('other')]).toEqual([undefined, 'kept'])
    expect(await records.put('key', 'again', { version: 1, expiresAt })).toBe(true)
    expect(await records.get('key')).toBe('again')
  })

  keeps('deletes what is not there without a word', async ({ records }) => {
    await records.delete('nothing')
    expect(await records.get('nothing')).toBeUndefined()
  })

  keeps('does what was asked last where a write and a deletion are not waited for', async ({ records, expiresAt }) => {
    await Promise.all([records.put('key', 'value', { version: 1, expiresAt }), records.delete('key')])
    expect(await records.get('key')).toBeUndefined()
  })

  keeps('gives a record until it expires, and not after, when any version may follow', async (subject) => {
    const { records, clock, advance, expiresAt } = subject
    const soon = clock.now() + 200
    await records.put('key', 'value', { version: 9, expiresAt: soon })
    await records.put('other', 'kept', { version: 9, expiresAt })
    const before = await records.get('key')
    if (clock.now() < soon - 100) expect(before).toBe('value')
    await advance?.(soon - clock.now())
    await expect.poll(() => records.get('key'), { interval: 10, timeout: 5000 }).toBeUndefined()
    expect(await records.get('other')).toBe('kept')
    const put = () => records.put('key', 'again', { version: 1, expiresAt })
    // The machine that keeps it may be a millisecond behind.
    await expect.poll(put, { interval: 10, timeout: 5000 }).toBe(true)
    expect(await records.get('key')).toBe('again')
  })

  keeps('lets the last expiry count', async ({ records, clock, expiresAt, advance }) => {
    const soon = clock.now() + 100
    await records.put('key', 'value', { version: 1, expiresAt: soon })
    await records.put('key', 'value', { version: 2, expiresAt })
    await records.put('mark', 'value', { version: 1, expiresAt: soon })
    await advance?.(soon - clock.now())
    await expect.poll(() => records.get('mark'), { interval: 10, timeout: 5000 }).toBeUndefined()
    expect(await records.get('key')).toBe('value')
  })

  keeps(
    'forgets an older record when the newer one had expired when it was written',
    async ({ records, clock, expiresAt }) => {
      await records.put('key', 'older', { version: 1, expiresAt })
      expect(await records.put('key', 'newer', { version: 2, expiresAt: clock.now() - 1000 })).toBe(true)
      expect(await records.get('key')).toBeUndefined()
    },
  )

  keeps('does not forget a newer record when an older one had expired when it was written', async (subject) => {
    const { records, clock, expiresAt } = subject
    await records.put('key', 'newer', { version: 2, expiresAt })
    expect(await records.put('key', 'older', { version: 1, expiresAt: clock.now() - 1000 })).toBe(false)
    expect(await records.get('key')).toBe('newer')
  })

  keeps('takes instants between two milliseconds, and no end at all', async ({ records, expiresAt }) => {
    await records.put('key', 'value', { version: 1, expiresAt: expiresAt + 0.25 })
    await records.put('forever', 'value', { version: 1, expiresAt: Number.POSITIVE_INFINITY })
    expect([await records.get('key'), await records.get('forever')]).toEqual(['value', 'value'])
  })

  for (const { name, value } of ODD_VALUES) {
    keeps(`gives ${name} back as it was`, async ({ records, expiresAt }) => {
      await records.put('key', value, { version: 1, expiresAt })
      expect(await records.get('key')).toBe(value)
    })
  }

  keeps('keeps odd keys apart', async ({ records, expiresAt }) => {
    const keys = [...ODD_KEYS, 'a\0b', 'k'.repeat(5000)]
    for (const [at, key] of keys.entries()) await records.put(key, `value-${at}`, { version: 1, expiresAt })
    const found = await Promise.all(keys.map((key) => records.get(key)))
    expect(found).toEqual(keys.map((_, at) => `value-${at}`))
    await records.delete('a*')
    expect([await records.get('a*'), await records.get('a:b')]).toEqual([undefined, 'value-4'])
  })

  for (const version of [1.5, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, undefined, '7']) {
    keeps(`refuses the version ${version}, and writes nothing`, async ({ records, expiresAt }) => {
      const put = async () => records.put('key', 'value', { version: version as number, expiresAt })
      await expect(put()).rejects.toMatchObject({ name: 'ConfigurationError', code: 'option_invalid' })
      expect(await records.get('key')).toBeUndefined()
    })
  }

  keeps('refuses an end that is no instant', async ({ records }) => {
    const put = async () => records.put('key', 'value', { version: 1, expiresAt: Number.NaN })
    await expect(put()).rejects.toMatchObject({ name: 'ConfigurationError', code: 'option_invalid' })
    expect(await records.get('key')).toBeUndefined()
  })
}
