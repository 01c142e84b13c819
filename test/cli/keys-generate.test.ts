import { createPrivateKey } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createTokenManager, privateKeyJwt } from 'evertoken'
import { type JsonWebKey, jwkThumbprint } from 'evertoken/keys'
import { signerFromFile } from 'evertoken/node'
import { describe, expect, vi } from 'vitest'
import { expectNoCanary } from '../support/canaries.ts'
import { SIGNING_ALGS } from '../support/keys.ts'
import { run, runBehind, runHere, test } from './program.ts'

const GENERATE = ['keys', 'generate', '--out', 'key.pem']
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

/** The parts of a key that are nobody else's. */
function secretsIn(pem: string): readonly string[] {
  const { d } = createPrivateKey(pem).export({ format: 'jwk' })
  return [String(d), ...pem.split('\n').filter((line) => line.length > 40)]
}

describe('keys generate', () => {
  test.for(SIGNING_ALGS.map((alg) => ({ alg })))(
    'makes a key for $alg that authenticates a client',
    async ({ alg }, { folder, startProvider }) => {
      const { code, stdout, stderr } = await run(folder, ...GENERATE, '--alg', alg)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      const jwk: JsonWebKey = JSON.parse(stdout)
      expect(jwk).toMatchObject({ alg, use: 'sig', kid: await jwkThumbprint(jwk) })
      const provider = await startProvider({
        clients: [
          { client_id: 'machine', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...jwk }] } },
        ],
        resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 600 } },
      })
      const key = signerFromFile(join(folder, 'key.pem'), { alg, kid: jwk.kid })
      const api = { issuer: provider.issuer, clientId: 'machine', authentication: privateKeyJwt(key), scope: 'read' }
      const tokens = createTokenManager({ clients: { api } })
      expect((await tokens.getToken('api')).tokenType).toBe('Bearer')
      expect(provider.assertions.map(({ header }) => header.kid)).toEqual([jwk.kid])
      await tokens.close()
    },
  )

  test('makes a key for Ed25519, the newer name of EdDSA', async ({ folder }) => {
    const { stdout } = await runHere({ cwd: folder }, ...GENERATE, '--alg', 'Ed25519', '--kid', '2026-11')
    const { publicJwk } = signerFromFile(join(folder, 'key.pem'), { alg: 'Ed25519' })
    expect(JSON.parse(stdout)).toEqual({ ...publicJwk, kid: '2026-11', alg: 'Ed25519', use: 'sig' })
  })

  test('makes ES256 unless told otherwise, and RSA with 3072 bits', async ({ folder }) => {
    expect(JSON.parse((await runHere({ cwd: folder }, ...GENERATE)).stdout)).toMatchObject({
      alg: 'ES256',
      crv: 'P-256',
    })
    const { stdout } = await runHere({ cwd: folder }, ...GENERATE, '--alg', 'RS256', '--force')
    expect(Buffer.from(JSON.parse(stdout).n, 'base64url')).toHaveLength(3072 / 8)
  })

  test('makes another key each time', async ({ folder }) => {
    const first = await runHere({ cwd: folder }, ...GENERATE)
    const second = await runHere({ cwd: folder }, ...GENERATE, '--force')
    expect(JSON.parse(second.stdout).x).not.toBe(JSON.parse(first.stdout).x)
  })

  test('A10.04 prints nothing private unless --stdout says so', async ({ folder }) => {
    const { stdout, stderr } = await run(folder, ...GENERATE)
    expectNoCanary([stdout, stderr], secretsIn(readFileSync(join(folder, 'key.pem'), 'utf8')))
  })

  test('A10.04 prints the private key to stdout alone, and makes no file', async ({ folder }) => {
    const { code, stdout, stderr } = await run(folder, 'keys', 'generate', '--stdout', '--kid', 'a')
    const { kty, crv, x, y } = createPrivateKey(stdout).export({ format: 'jwk' })
    expect(code).toBe(0)
    expect(JSON.parse(stderr)).toEqual({ kty, crv, x, y, kid: 'a', alg: 'ES256', use: 'sig' })
    expectNoCanary([stderr], secretsIn(stdout))
    expect(readdirSync(folder)).toEqual([])
  })

  test('A10.04 warns on a terminal', async ({ folder }) => {
    const shown = await runHere({ cwd: folder, isTerminal: true }, 'keys', 'generate', '--stdout')
    expect(shown.stderr).toMatch(/^evertoken: a private key is shown on this terminal/)
    const piped = await runHere({ cwd: folder }, 'keys', 'generate', '--stdout')
    expect(piped.stderr).toMatch(/^\{/)
  })

  test('leaves no file behind when it was stopped meanwhile', async ({ folder }) => {
    const { keysGenerate } = await vi.importActual<typeof import('../../src/cli/keys-generate.ts')>(
      '../../src/cli/keys-generate.ts',
    )
    const controller = new AbortController()
    const silent = { isTerminal: false, write: () => {} }
    const args = { operands: [], options: new Map([['out', 'key.pem']]) }
    const { signal } = controller
    const work = keysGenerate.run({ stdout: silent, stderr: silent, env: {}, cwd: folder, args, signal })
    controller.abort(new Error('stopped'))
    await expect(work).rejects.toThrow('stopped')
    expect(readdirSync(folder)).toEqual([])
  })

  test('frees the user at once who stops it', async ({ folder }) => {
    const signal = AbortSignal.abort()
    expect(await runHere({ cwd: folder, signal }, ...GENERATE)).toEqual({ code: 130, stdout: '', stderr: '' })
  })
})

describe('the file of a key', () => {
  const umasks = [{ umask: '000' }, { umask: '022' }, { umask: '777' }]
  test.for(umasks)('A10.02 belongs to its owner alone under umask $umask', async ({ umask }, { folder }) => {
    expect((await runBehind(folder, `umask ${umask}`, ...GENERATE)).code).toBe(0)
    expect(modeOf(join(folder, 'key.pem'))).toBe('600')
    expect((await runBehind(folder, `umask ${umask}`, ...GENERATE, '--force')).code).toBe(0)
    expect(modeOf(join(folder, 'key.pem'))).toBe('600')
  })

  test('A10.02 an existing file is refused, and replaced with --force by one that others cannot read', async ({
    folder,
  }) => {
    const path = join(folder, 'key.pem')
    writeFileSync(path, 'old')
    chmodSync(path, 0o644)
    const { code, stdout, stderr } = await run(folder, ...GENERATE)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `evertoken: keys generate: expected "${path}" not to exist, got something there (file_not_written)\n`,
    )
    expect([readFileSync(path, 'utf8'), modeOf(path)]).toEqual(['old', '644'])
    expect((await run(folder, ...GENERATE, '--force')).code).toBe(0)
    expect([readFileSync(path, 'utf8').slice(0, 27), modeOf(path)]).toEqual(['-----BEGIN PRIVATE KEY-----', '600'])
    expect(readdirSync(folder)).toEqual(['key.pem'])
  })

  const links = [
    { name: 'to a file', target: 'other', isThere: true },
    { name: 'to nothing', target: 'nothing', isThere: false },
  ]
  test.for(links)('A10.02 a symbolic link $name is never followed', async ({ target, isThere }, { folder }) => {
    if (isThere) writeFileSync(join(folder, target), 'old')
    symlinkSync(target, join(folder, 'key.pem'))
    for (const force of [[], ['--force']]) {
      const { code, stdout, stderr } = await run(folder, ...GENERATE, ...force)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(force.length > 0 ? /to be a file, got a symbolic link/ : /not to exist/)
    }
    expect(lstatSync(join(folder, 'key.pem')).isSymbolicLink()).toBe(true)
    expect(existsSync(join(folder, target)) && readFileSync(join(folder, target), 'utf8')).toBe(isThere && 'old')
  })

  test("A10.02 of eight programs that create one file one succeeds, and it is that one's key", async ({ folder }) => {
    const runs = await Promise.all(Array.from({ length: 8 }, () => run(folder, ...GENERATE)))
    const made = runs.filter(({ code }) => code === 0)
    expect(made).toHaveLength(1)
    expect(runs.filter(({ stderr }) => stderr.includes('(file_not_written)'))).toHaveLength(7)
    const { publicJwk } = signerFromFile(join(folder, 'key.pem'))
    expect(JSON.parse(made[0]?.stdout ?? '')).toMatchObject({ ...publicJwk })
  })

  test('A10.02 of eight programs that replace one file the last wins, and nothing else is left', async ({ folder }) => {
    const runs = await Promise.all(Array.from({ length: 8 }, () => run(folder, ...GENERATE, '--force')))
    expect(runs.map(({ code }) => code)).toEqual(Array(8).fill(0))
    const { publicJwk } = signerFromFile(join(folder, 'key.pem'))
    expect(runs.map(({ stdout }) => JSON.parse(stdout).x)).toContain(publicJwk.x)
    expect(readdirSync(folder)).toEqual(['key.pem'])
  })

  test('A10.02 a disk that takes no more leaves the old file, and no part of a new one', async ({ folder }) => {
    const created = await runBehind(folder, 'ulimit -f 0', ...GENERATE)
    expect([created.code, created.stdout, readdirSync(folder)]).toEqual([1, '', []])
    expect(created.stderr).toMatch(/to be writable, got EFBIG \(file_not_written\)/)
    writeFileSync(join(folder, 'key.pem'), 'old')
    const replaced = await runBehind(folder, 'ulimit -f 0', ...GENERATE, '--force')
    expect([replaced.code, replaced.stdout, readdirSync(folder)]).toEqual([1, '', ['key.pem']])
    expect(readFileSync(join(folder, 'key.pem'), 'utf8')).toBe('old')
  })

  const odd = [
    {
      name: 'a directory',
      make: (path: string) => mkdirSync(path),
      args: ['--force'],
      says: /to be a file, got a directory/,
    },
    {
      name: 'in a folder that is not there',
      make: () => {},
      args: ['--out=none/key.pem'],
      says: /to be writable, got ENOENT/,
    },
  ]
  test.for(odd)('that is $name is an error', async ({ make, args, says }, { folder }) => {
    make(join(folder, 'key.pem'))
    const all = args.includes('--force') ? [...GENERATE, ...args] : ['keys', 'generate', ...args]
    const { code, stderr } = await runHere({ cwd: folder }, ...all)
    expect(code).toBe(1)
    expect(stderr).toMatch(says)
  })
})
