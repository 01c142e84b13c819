import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clientSecretBasic } from 'evertoken'
import { secretFromFile } from 'evertoken/node'
import { describe, expect, vi } from 'vitest'
import { test } from '../support/files.ts'
import { rejection } from '../support/fixtures.ts'

const internals = await vi.importActual<typeof import('../../src/node/secret-file.ts')>('../../src/node/secret-file.ts')
const rules = await vi.importActual<typeof import('../../src/node/secret-file-rules.ts')>(
  '../../src/node/secret-file-rules.ts',
)

const SECRET = 'a-secret-that-no-message-repeats'
const isRoot = process.getuid?.() === 0

describe('F9.06 a file that is no secret', () => {
  interface Row {
    readonly name: string
    readonly code: string
    readonly message: string
    readonly make: (path: string) => void
    readonly rootOnly?: boolean
  }
  const write = (path: string, mode: number): void => {
    writeFileSync(path, SECRET)
    chmodSync(path, mode)
  }
  const rows: readonly Row[] = [
    ...[0o644, 0o640, 0o604, 0o620].map((mode) => ({
      name: `with mode 0${mode.toString(8)}`,
      code: 'file_permissions',
      message: `one that its owner alone can read and write, got mode 0${mode.toString(8)}`,
      make: (path: string) => write(path, mode),
    })),
    {
      name: 'of another user',
      code: 'file_permissions',
      message: 'one that its owner alone can read and write, got one that belongs to another user',
      make(path) {
        write(path, 0o600)
        chownSync(path, 12345, 12345)
      },
      rootOnly: true,
    },
    {
      name: 'that is a directory',
      code: 'file_invalid',
      message: 'a regular file, got a directory',
      make: (path) => mkdirSync(path),
    },
    {
      name: 'that is a FIFO',
      code: 'file_invalid',
      message: 'a regular file, got a FIFO',
      make: (path) => void execFileSync('mkfifo', [path]),
    },
    {
      name: 'of a gigabyte',
      code: 'file_invalid',
      message: 'at most 65536 bytes, got more',
      make(path) {
        write(path, 0o600)
        truncateSync(path, 2 ** 30)
      },
    },
    {
      name: 'that leads to /dev/zero',
      code: 'file_invalid',
      message: 'a regular file, got a device',
      make: (path) => symlinkSync('/dev/zero', path),
    },
    {
      name: 'that is empty',
      code: 'file_invalid',
      message: 'content, got an empty file',
      make(path) {
        write(path, 0o600)
        truncateSync(path)
      },
    },
    {
      name: 'that is no text',
      code: 'file_invalid',
      message: 'UTF-8 text, got other bytes',
      make: (path) => writeFileSync(path, Uint8Array.of(0xff, 0xfe, 1), { mode: 0o600 }),
    },
    { name: 'that does not exist', code: 'file_unreadable', message: 'a readable file, got none', make: () => {} },
    {
      name: 'that leads in a circle',
      code: 'file_unreadable',
      message: 'a readable file, got ELOOP',
      make: (path) => symlinkSync(path, path),
    },
    {
      name: 'below a file',
      code: 'file_unreadable',
      message: 'a readable file, got ENOTDIR',
      make: () => {},
    },
  ]
  for (const { name, code, message, make, rootOnly } of rows) {
    test.skipIf(rootOnly && !isRoot)(
      `F9.06 ${name} is refused, and nothing is sent`,
      async ({ manage, server, folder, file }) => {
        const path = name === 'below a file' ? join(file('x'), 'secret') : join(folder, 'secret')
        make(path)
        const tokens = manage({ authentication: clientSecretBasic(secretFromFile(path)) })
        const error = await rejection(tokens.getToken('api'))
        expect(error).toMatchObject({
          name: 'ConfigurationError',
          code,
          message: `file "${path}": expected ${message}`,
        })
        expect(JSON.stringify([error.message, error.stack, error.cause])).not.toContain(SECRET)
        expect(server.requests).toHaveLength(0)
        // No text is asked for here, so bytes that are none are fine.
        if (name === 'that is no text') return
        expect(() => internals.readSecretFileSync(rules.secretFile('key', path, {}))).toThrow(
          expect.objectContaining({ code, message: error.message }),
        )
      },
    )
  }

  test.skipIf(!isRoot)('F9.06 that this user may not read is refused', ({ folder, file }) => {
    const path = file(SECRET)
    chmodSync(folder, 0o755)
    process.seteuid?.(12345)
    try {
      expect(() => internals.readSecretFileSync(rules.secretFile('key', path, {}))).toThrow(
        expect.objectContaining({
          code: 'file_unreadable',
          message: `file "${path}": expected a readable file, got EACCES`,
        }),
      )
    } finally {
      process.seteuid?.(0)
    }
  })

  test('F9.06 with mode 0644 is read where that is allowed', async ({ manage, server, file }) => {
    const path = file(`${SECRET}\n`, 0o644)
    await manage({ authentication: clientSecretBasic(secretFromFile(path, { permissions: 'any' })) }).getToken('api')
    expect(server.requests[0]?.headers.authorization).toBe(`Basic ${btoa(`machine:${SECRET}`)}`)
  })

  test('F9.06 is read up to the last byte that maxBytes allows', async ({ file }) => {
    const path = file('x'.repeat(10))
    expect(await secretFromFile(path, { maxBytes: 10 })()).toBe('x'.repeat(10))
    expect(await rejection(secretFromFile(path, { maxBytes: 9 })())).toMatchObject({ code: 'file_invalid' })
  })
})

describe('a secret from a file', () => {
  test('is read at every token request, without its last line break', async ({ manage, server, file }) => {
    const path = file('first\n')
    const authentication = clientSecretBasic(secretFromFile(path))
    const tokens = manage({ authentication })
    await tokens.getToken('api')
    writeFileSync(path, ' second \r\n')
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      `Basic ${btoa('machine:first')}`,
      `Basic ${btoa('machine:+second+')}`,
    ])
  })

  test('is the same when it is read at once, for what is needed at creation', async ({ file }) => {
    const bytes = internals.readSecretFileSync(rules.secretFile('key', file(SECRET), {}))
    expect(new TextDecoder().decode(bytes)).toBe(SECRET)
  })
})
