import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Clock, WithLock } from 'evertoken'
import { fileLock } from 'evertoken/node'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { itKeepsTheLeaseContract } from '../support/lease-contract.ts'
import { root } from '../support/manifest.ts'
import { systemClock } from '../support/system-clock.ts'
import { createTestClock } from '../support/test-clock.ts'
import { itKeepsTheLockContract } from '../support/with-lock-contract.ts'

const SHORT = { leaseMs: 1500, deadlineMs: 500 }
const LONG_AGO = 1
/** What somebody has left who was killed. */
const LEFT = `${'a'.repeat(24)} 5000\n`

describe('fileLock', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'evertoken-locks-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const pathOf = (name: string): string => join(folder, `${createHash('sha256').update(name).digest('base64url')}.lock`)
  const leave = (path: string, text = LEFT, at = LONG_AGO): void => {
    writeFileSync(path, text)
    utimesSync(path, at, at)
  }

  itKeepsTheLockContract(() => ({ locks: [fileLock(folder), fileLock(folder)] }))

  itKeepsTheLeaseContract(
    () => ({
      createLock: (options) => fileLock(folder, options),
      place: { kind: 'file', place: folder },
      loseLocks: () => rmSync(pathOf('name')),
    }),
    SHORT,
  )

  it('F7.08 names its file by a hash, for its owner alone, and leaves nothing', async () => {
    const name = '../../tenant|user@example'
    const seen = await fileLock(folder)(name, async () =>
      readdirSync(folder).map((file) => ({ file, mode: statSync(join(folder, file)).mode & 0o777 })),
    )
    expect(seen).toEqual([{ file: basename(pathOf(name)), mode: 0o600 }])
    expect(readdirSync(folder)).toEqual([])
  })

  it('keeps no file open', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const lock = fileLock(folder)
    await lock('name', async () => {})
    const before = open()
    for (let turn = 0; turn < 50; turn++) await lock('name', async () => {})
    expect(open()).toBeLessThanOrEqual(before)
  })

  it('takes the place of whoever was killed long ago at once, and of one who was killed while doing that', async () => {
    const lock = fileLock(folder, { waitMs: 300 })
    leave(pathOf('name'))
    expect(await lock('name', async () => 'taken')).toBe('taken')
    leave(pathOf('name'))
    const hash = createHash('sha256').update(`${basename(pathOf('name'))}\n${LEFT}`)
    leave(join(folder, `${hash.digest('base64url')}.next`), `${'b'.repeat(24)} 5000\n`)
    expect(await lock('name', async () => 'taken')).toBe('taken')
    expect(readdirSync(folder)).toEqual([])
  })

  it('removes what processes have left who were killed while they took a lock or gave it up, and nothing else', async () => {
    const [hash, owner] = ['h'.repeat(43), 'o'.repeat(24)]
    const [left, kept] = [
      [`${hash}.lock.${owner}.tmp`, `${hash}.next`],
      ['mine.tmp', `${hash}.lock`],
    ]
    for (const file of [...left, ...kept]) leave(join(folder, file))
    mkdirSync(join(folder, `${'a'.repeat(43)}.next`))
    const recent = `${hash}.lock.${'p'.repeat(24)}.tmp`
    leave(join(folder, recent), LEFT, Date.now() / 1000)
    await fileLock(folder)('name', async () => {})
    await expect.poll(() => readdirSync(folder).sort()).toEqual([...kept, recent, `${'a'.repeat(43)}.next`].sort())
  })

  it('removes no more than a hundred files at a time, and not with every turn', async () => {
    const clock = createTestClock()
    for (let at = 0; at < 250; at++) leave(join(folder, `${'h'.repeat(43)}.lock.${String(at).padStart(24, '0')}.tmp`))
    const lock = fileLock(folder, { clock, deadlineMs: 20_000, leaseMs: 60_000 })
    const files = (): number => readdirSync(folder).length
    await lock('name', async () => {})
    await expect.poll(files).toBe(150)
    await lock('name', async () => {})
    await clock.advance(59_999)
    await lock('name', async () => {})
    expect(files()).toBe(150)
    await clock.advance(1)
    await lock('name', async () => {})
    await expect.poll(files).toBe(50)
  })

  it.each([
    { name: 'is empty', text: '', at: LONG_AGO },
    { name: 'holds something else', text: 'x'.repeat(10_000), at: LONG_AGO },
    { name: 'is of a time to come, since a clock was set back', text: LEFT, at: Date.now() / 1000 + 3600 },
  ])('takes the place of a file that $name', async ({ text, at }) => {
    leave(pathOf('name'), text, at)
    expect(await fileLock(folder, { waitMs: 300 })('name', async () => 'taken')).toBe('taken')
  })

  it.each<{ name: string; put: (path: string) => void }>([
    { name: 'a folder', put: (path) => mkdirSync(path) },
    { name: 'a link to a file', put: (path) => symlinkSync(join(folder, 'target'), path) },
    { name: 'a pipe', put: (path) => execFileSync('mkfifo', [path]) },
  ])('F7.05 is unavailable where there is $name in place of its file, and follows nothing', async ({ put }) => {
    writeFileSync(join(folder, 'target'), 'as it was')
    put(pathOf('name'))
    const error = await rejection(fileLock(folder)('name', async () => 'taken'))
    expect(error).toMatchObject({ name: 'StoreError', code: 'lock_unavailable', retryable: true })
    expect(readFileSync(join(folder, 'target'), 'utf8')).toBe('as it was')
  })

  it('F7.05 is unavailable while its folder is missing, or is a file, and works when it is there', async () => {
    const place = join(folder, 'missing')
    const lock = fileLock(place)
    const missing = await rejection(lock('name', async () => 'taken'))
    expect(missing).toMatchObject({ code: 'lock_unavailable', cause: { code: 'ENOENT' } })
    writeFileSync(place, '')
    const noFolder = await rejection(fileLock(place)('name', async () => 'taken'))
    expect(noFolder).toMatchObject({ code: 'lock_unavailable', cause: { code: 'ENOTDIR' } })
    rmSync(place)
    mkdirSync(place)
    const again = (): Promise<string> => lock('name', async () => 'again').catch((error) => error.code)
    await expect.poll(again, { timeout: 10_000 }).toBe('again')
  })

  it.skipIf(process.getuid?.() === 0)('F7.05 is unavailable while its folder is not to be written to', async () => {
    mkdirSync(join(folder, 'closed'), { mode: 0o500 })
    const error = await rejection(fileLock(join(folder, 'closed'))('name', async () => 'taken'))
    expect(error).toMatchObject({ code: 'lock_unavailable', cause: { code: 'EACCES' } })
  })

  it('measures leases by its clock: renewed while the task runs, and over when the time is up', async () => {
    const clock = createTestClock()
    const lock = fileLock(folder, { clock, deadlineMs: 20_000, leaseMs: 60_000 })
    const renewedAt = (): number => statSync(pathOf('name')).mtimeMs
    const startedAt = clock.now()
    await lock('name', async () => {
      expect(renewedAt()).toBe(startedAt)
      await clock.advance(20_000)
      await expect.poll(renewedAt).toBe(startedAt + 20_000)
    })
    leave(pathOf('name'), LEFT, clock.wallTime() / 1000)
    const leftAt = clock.now()
    let lastedMs: number | undefined
    const waiting = lock('name', async () => {
      lastedMs = clock.now() - leftAt
    })
    // Every tick leaves a look at the disk its time.
    const tick = async (): Promise<number | undefined> => {
      await clock.advance(200)
      return lastedMs
    }
    await expect.poll(tick, { interval: 10, timeout: 20_000 }).toBeGreaterThan(5000)
    await waiting
    expect(lastedMs).toBeLessThan(7000)
  })

  it('F7.06 lets 1,000 tasks of one process, and 20 processes, wait with at most 20 looks a second each', async () => {
    const counts: number[] = []
    const counted = (at: number): WithLock => {
      counts[at] = 0
      // Each step at the file system has a deadline of its own, which nothing else is as long as.
      const clock: Clock = {
        ...systemClock,
        setTimer(callback, delayMs) {
          if (delayMs === 1666) counts[at] = (counts[at] ?? 0) + 1
          return systemClock.setTimer(callback, delayMs)
        },
      }
      return fileLock(folder, { clock, deadlineMs: 1666, waitMs: 60_000 })
    }
    const waiters = Array.from({ length: 20 }, (_, at) => counted(at))
    let waiting: Promise<string>[] = []
    const seconds = await fileLock(folder)('name', async () => {
      const startedAt = performance.now()
      const inOne = Array.from({ length: 1000 }, () => waiters[0] as WithLock)
      waiting = [...inOne, ...waiters.slice(1)].map((lock) => lock('name', async () => 'had a turn'))
      await expect.poll(() => Math.min(...counts), { interval: 20, timeout: 20_000 }).toBeGreaterThanOrEqual(8)
      return (performance.now() - startedAt) / 1000
    })
    expect(counts.filter((looks) => looks > 1 + seconds * 20)).toEqual([])
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['had a turn']))
  })

  describe('with four processes', () => {
    const children: ChildProcess[] = []
    afterEach(() => {
      for (const child of children.splice(0)) child.kill('SIGKILL')
    })

    it('F7.04 goes to one of them when they find at the same moment that its lease is over', async () => {
      const racers = Array.from({ length: 4 }, () => {
        const args = ['test/support/programs/file-lock-racer.mjs']
        const child = spawn(process.execPath, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
        children.push(child)
        return { stdin: child.stdin, lines: createInterface(child.stdout) }
      })
      await Promise.all(racers.map(({ lines }) => once(lines, 'line')))
      let turns = 0
      for (let round = 0; round < 25; round++) {
        folder = mkdtempSync(join(tmpdir(), 'evertoken-locks-'))
        leave(pathOf('name'))
        const at = Date.now() + 20
        const answers = racers.map(async ({ stdin, lines }) => {
          stdin.write(`${folder} ${at}\n`)
          const [said] = await once(lines, 'line')
          return said
        })
        const said = await Promise.all(answers)
        rmSync(folder, { recursive: true })
        const held = said.filter((word) => word === 'held').length
        expect(held).toBeLessThanOrEqual(1)
        expect(said.filter((word) => word === 'lock_timeout')).toHaveLength(4 - held)
        turns += held
      }
      // None in a round in which a busy machine let all of them wait for too long.
      expect(turns).toBeGreaterThan(0)
    })
  })

  it.each<{ name: string; place: unknown }>([
    { name: 'nothing', place: undefined },
    { name: 'an empty path', place: '' },
    { name: 'a path with a zero in it', place: 'a\0b' },
  ])('refuses $name in place of a folder', ({ place }) => {
    expect(() => fileLock(place as string)).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', code: 'option_invalid' }),
    )
  })
})
