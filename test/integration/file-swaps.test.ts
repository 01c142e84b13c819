import { once } from 'node:events'
import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { assertionFromFile, secretFromFile } from 'evertoken/node'
import { describe, expect, vi } from 'vitest'
import { test } from '../support/files.ts'
import { jwtOf } from '../support/jwt-samples.ts'

const rules = await vi.importActual<typeof import('../../src/node/secret-file-rules.ts')>(
  '../../src/node/secret-file-rules.ts',
)

const lastingJwt = (members: Readonly<Record<string, unknown>>): Promise<string> =>
  jwtOf({ exp: Math.floor(Date.now() / 1000) + 600, ...members })

const SWAPS = 200
/** As long as one another, so that a mixture would not show by its length. */
const contents = async (): Promise<readonly string[]> =>
  Promise.all(Array.from({ length: SWAPS }, (_, n) => lastingJwt({ n: 1000 + n, pad: String(n % 10).repeat(3000) })))

describe('F9.05 a file that is replaced', () => {
  /** A volume as the kubelet lays it out: the file is a link into `..data`, which is a link to a folder with a date. */
  function volumeIn(folder: string, text: string): { readonly path: string; readonly swap: (text: string) => void } {
    let count = 0
    const swap = (next: string): void => {
      const dated = `..2026_01_01_00_00_00.${++count}`
      mkdirSync(join(folder, dated))
      writeFileSync(join(folder, dated, 'token'), next)
      symlinkSync(dated, join(folder, '..data_tmp'))
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
      if (count > 1) rmSync(join(folder, `..2026_01_01_00_00_00.${count - 1}`), { recursive: true })
    }
    swap(text)
    symlinkSync(join('..data', 'token'), join(folder, 'token'))
    return { path: join(folder, 'token'), swap }
  }

  const ways: readonly {
    readonly name: string
    readonly start: (folder: string, text: string) => { readonly path: string; readonly swap: (text: string) => void }
  }[] = [
    { name: 'the swap of a link, as in a Kubernetes volume', start: volumeIn },
    {
      name: 'a rename',
      start(folder, text) {
        const path = join(folder, 'token')
        const swap = (next: string): void => {
          writeFileSync(`${path}.tmp`, next)
          renameSync(`${path}.tmp`, path)
        }
        swap(text)
        return { path, swap }
      },
    },
    {
      name: 'truncating and writing',
      start(folder, text) {
        const path = join(folder, 'token')
        const swap = (next: string): void => {
          truncateSync(path)
          writeFileSync(path, next, { flag: 'r+' })
        }
        writeFileSync(path, text)
        return { path, swap }
      },
    },
  ]
  for (const { name, start } of ways) {
    test(`F9.05 is read old or new, never a mixture, through ${SWAPS} times ${name}`, async ({ folder }) => {
      const texts = await contents()
      const { path, swap } = start(folder, texts[0] ?? '')
      const read = assertionFromFile(path)
      for (const text of texts) {
        // The reads are under way, in the thread pool, while this thread swaps.
        const reads = [read(), read(), read()]
        await new Promise(setImmediate)
        swap(text)
        for (const { value } of await Promise.all(reads))
          expect(texts.includes(value), 'one of the texts, whole').toBe(true)
        expect((await read()).value === text, 'the newest').toBe(true)
      }
    })
  }

  test('F9.05 is read whole or not at all while another thread rewrites it 200 times a second', async ({ folder }) => {
    const path = join(folder, 'secret')
    const texts = ['a', 'b', 'c'].map((letter) => letter.repeat(9000))
    writeFileSync(path, texts[0] ?? '')
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const writer = new Worker(
      `const { workerData: { path, texts, stop } } = require('node:worker_threads')
       const { writeFileSync } = require('node:fs')
       for (let n = 0; Atomics.load(stop, 0) === 0; n++) {
         writeFileSync(path, texts[n % 3])
         Atomics.wait(stop, 0, 0, 5)
       }`,
      { eval: true, workerData: { path, texts, stop } },
    )
    await once(writer, 'online')
    const read = secretFromFile(path, { permissions: 'any' })
    const seen = new Map<string, number>()
    for (let n = 0; n < 40; n++) {
      // On a machine that is busy enough no look may fall between two writes; that has an error of its own.
      const outcome = await read().catch(({ code }) => code)
      const name = texts.includes(outcome) ? outcome.charAt(0) : String(outcome)
      seen.set(name, (seen.get(name) ?? 0) + 1)
    }
    const whole = ['a', 'b', 'c'].map((letter) => seen.get(letter) ?? 0)
    expect(whole.filter((times) => times > 0).length, 'more than one of the texts').toBeGreaterThan(1)
    const unsettled = seen.get('file_unsettled') ?? 0
    expect(whole.reduce((sum, times) => sum + times, 0) + unsettled, 'one of the texts, whole').toBe(40)
    Atomics.store(stop, 0, 1)
    await once(writer, 'exit')
    expect(texts.includes(await read()), 'the last one').toBe(true)
  })
})

describe('a file that comes and goes', () => {
  test('F9.05 is read old or new while another thread swaps the folder of a volume and removes the old one', async ({
    folder,
  }) => {
    const texts = await contents()
    const path = join(folder, 'token')
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const writer = new Worker(
      `const { workerData: { folder, texts, stop }, parentPort } = require('node:worker_threads')
       const { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } = require('node:fs')
       const { join } = require('node:path')
       let last
       for (let n = 0; Atomics.load(stop, 0) === 0; n++) {
         const next = '..' + n
         mkdirSync(join(folder, next))
         writeFileSync(join(folder, next, 'token'), texts[n % texts.length])
         symlinkSync(next, join(folder, '..tmp'))
         renameSync(join(folder, '..tmp'), join(folder, '..data'))
         if (n === 0) { symlinkSync('..data/token', join(folder, 'token')); parentPort.postMessage('ready') }
         if (last !== undefined) rmSync(join(folder, last), { recursive: true })
         last = next
         Atomics.wait(stop, 0, 0, 5)
       }`,
      { eval: true, workerData: { folder, texts, stop } },
    )
    await once(writer, 'message')
    const read = assertionFromFile(path)
    const seen = new Set<string>()
    for (let n = 0; n < 1000; n++) seen.add((await read()).value)
    Atomics.store(stop, 0, 1)
    await once(writer, 'exit')
    expect(
      [...seen].every((value) => texts.includes(value)),
      'one of the texts, whole',
    ).toBe(true)
    expect(seen.size).toBeGreaterThan(1)
  })

  test('F9.05 is whole although its writer paused halfway', async ({ folder }) => {
    const path = join(folder, 'secret')
    writeFileSync(path, 'old secret')
    const writer = new Worker(
      `const { workerData: path, parentPort } = require('node:worker_threads')
       const { closeSync, openSync, writeSync } = require('node:fs')
       const file = openSync(path, 'w')
       writeSync(file, 'new sec')
       parentPort.postMessage('halfway')
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
       writeSync(file, 'ret, whole')
       closeSync(file)`,
      { eval: true, workerData: path },
    )
    await once(writer, 'message')
    expect(await secretFromFile(path, { permissions: 'any' })()).toBe('new secret, whole')
  })
})

describe('the judgement of a reading', () => {
  const stats = { size: 3n, mtimeNs: 1n, ctimeNs: 1n } as import('node:fs').BigIntStats
  const file = rules.secretFile('key', '/key', {})
  const changes = [
    { name: 'its size', after: { ...stats, size: 4n } },
    { name: 'its time of modification', after: { ...stats, mtimeNs: 2n } },
    { name: 'its time of change', after: { ...stats, ctimeNs: 2n } },
  ]
  for (const { name, after } of changes) {
    test(`F9.05 is that the file is changing when ${name} has changed`, () => {
      const bytes = new Uint8Array(3)
      const reading = { before: stats, after: after as typeof stats, bytes, again: bytes }
      expect(rules.lookFrom(file, reading)).toEqual({ unsettled: 'changing' })
    })
  }

  test('F9.05 is that the file is changing when it gave fewer bytes than it has', () => {
    const bytes = new Uint8Array(2)
    const reading = { before: stats, after: stats, bytes, again: bytes }
    expect(rules.lookFrom(file, reading)).toEqual({ unsettled: 'changing' })
  })

  test('F9.05 is that the file is changing when it gave other bytes the second time', () => {
    const reading = { before: stats, after: stats, bytes: Uint8Array.of(1, 2, 3), again: Uint8Array.of(1, 2, 4) }
    expect(rules.lookFrom(file, reading)).toEqual({ unsettled: 'changing' })
  })

  test('F9.05 is the bytes when nothing has changed', () => {
    const bytes = Uint8Array.of(1, 2, 3)
    expect(rules.lookFrom(file, { before: stats, after: stats, bytes, again: bytes })).toEqual({
      bytes,
      isYoung: false,
    })
  })

  test('F9.05 of a file that never settles is an error that a retry may cure', () => {
    expect(rules.unsettledError(file, 'changing')).toMatchObject({
      name: 'TransportError',
      code: 'file_unsettled',
      retryable: true,
    })
  })
})
