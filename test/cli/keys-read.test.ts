import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jwkThumbprint } from 'evertoken/keys'
import { beforeAll, describe, expect } from 'vitest'
import { expectNoCanary } from '../support/canaries.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { createTestKey, type TestKey, testKey } from '../support/keys.ts'
import { run, runHere, test } from './program.ts'

let ec: TestKey
let rsa: TestKey
beforeAll(async () => {
  ;[ec, rsa] = await Promise.all([testKey('ES256'), testKey('RS256')])
})

function put(folder: string, name: string, text: string, mode = 0o600): string {
  writeFileSync(join(folder, name), text)
  chmodSync(join(folder, name), mode)
  return name
}

const PASSPHRASE = 'correct horse battery staple'
const encrypted = (key: TestKey): string =>
  String(key.keyObject.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: PASSPHRASE }))

describe('keys jwks', () => {
  const forms = [
    { name: 'a PKCS #8 key', text: () => ec.pem },
    { name: 'a SEC 1 key', text: () => String(ec.keyObject.export({ format: 'pem', type: 'sec1' })) },
    { name: 'a public key', text: () => String(ec.publicKeyObject.export({ format: 'pem', type: 'spki' })) },
    { name: 'a private JWK', text: () => JSON.stringify({ ...ec.keyObject.export({ format: 'jwk' }), alg: 'ES256' }) },
    { name: 'a public JWK', text: () => JSON.stringify(ec.publicKeyObject.export({ format: 'jwk' })) },
    { name: 'a key with text around it', text: () => `Key of the invoice worker\n${ec.pem}\n` },
  ]
  test.for(forms)('prints the public key of $name', async ({ text }, { folder }) => {
    const file = put(folder, 'key', text())
    const { code, stdout, stderr } = await runHere({ cwd: folder }, 'keys', 'jwks', file)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual({ keys: [{ ...ec.publicJwk, kid: await jwkThumbprint(ec.publicJwk) }] })
  })

  test('keeps kid and alg that a JWK has, private or public, and takes others for one file', async ({ folder }) => {
    const files = [put(folder, 'private', JSON.stringify(ec.jwk)), put(folder, 'public', JSON.stringify(rsa.publicJwk))]
    const own = await runHere({ cwd: folder }, 'keys', 'jwks', ...files)
    expect(JSON.parse(own.stdout).keys).toEqual([ec.publicJwk, rsa.publicJwk])
    for (const file of [put(folder, 'jwk', JSON.stringify(rsa.publicJwk)), put(folder, 'pem', rsa.pem)]) {
      const other = await runHere({ cwd: folder }, 'keys', 'jwks', file, '--kid', 'x', '--alg', 'PS256')
      expect(JSON.parse(other.stdout).keys).toEqual([{ ...rsa.publicJwk, kid: 'x', alg: 'PS256' }])
    }
  })

  test('reads certificates and PKCS #1 keys', async ({ folder }) => {
    const { cert, key } = await (await createCertificateAuthority()).issue()
    const [fromCertificate, fromKey] = await Promise.all(
      [put(folder, 'cert', cert), put(folder, 'key', key)].map((file) =>
        runHere({ cwd: folder }, 'keys', 'jwks', file),
      ),
    )
    expect(fromCertificate?.stdout).toMatch(/"crv": "P-256"/)
    expect(fromCertificate).toEqual(fromKey)
    const pkcs1 = put(folder, 'rsa', String(rsa.keyObject.export({ format: 'pem', type: 'pkcs1' })))
    const { stdout } = await runHere({ cwd: folder }, 'keys', 'jwks', pkcs1)
    expect(JSON.parse(stdout).keys).toMatchObject([{ n: rsa.publicJwk.n }])
  })

  test('opens an encrypted key with the passphrase in a file, and shows neither', async ({ folder }) => {
    put(folder, 'key', encrypted(ec))
    put(folder, 'passphrase', `${PASSPHRASE}\n`)
    const opened = await run(folder, 'keys', 'jwks', 'key', '--passphrase-file', 'passphrase')
    expect(JSON.parse(opened.stdout).keys).toMatchObject([{ x: ec.publicJwk.x }])
    put(folder, 'wrong', `${PASSPHRASE}!`)
    const refused = await run(folder, 'keys', 'jwks', 'key', '--passphrase-file', 'wrong')
    expect([refused.code, refused.stdout]).toEqual([1, ''])
    expect(refused.stderr).toMatch(/got one that its passphrase does not open \(key_invalid\)/)
    expectNoCanary([opened.stderr, opened.stdout, refused.stderr], [String(ec.jwk.d), PASSPHRASE])
  })

  test('A10.04 prints nothing private', async ({ folder }) => {
    const files = [put(folder, 'a.pem', ec.pem), put(folder, 'b.jwk', JSON.stringify(rsa.jwk))]
    const { stdout, stderr } = await run(folder, 'keys', 'jwks', ...files)
    const { d, p, q, dp, dq, qi } = rsa.jwk
    expectNoCanary([stdout, stderr], [ec.jwk.d, d, p, q, dp, dq, qi].map(String))
    for (const key of JSON.parse(stdout).keys)
      expect(Object.keys(key).join()).toMatch(/^kty,(crv,x,y|n,e),kid,alg,use$/)
  })

  test('warns of a private key that others can read, and not of a public one', async ({ folder }) => {
    put(folder, 'private', ec.pem, 0o644)
    const open = await runHere({ cwd: folder }, 'keys', 'jwks', 'private')
    expect([open.code, JSON.parse(open.stdout).keys.length]).toEqual([0, 1])
    expect(open.stderr).toMatch(
      /^evertoken: warning: file "\S+private": expected one that its owner alone can read and write, got mode 0644\n$/,
    )
    put(folder, 'public', JSON.stringify(ec.publicJwk), 0o644)
    expect((await runHere({ cwd: folder }, 'keys', 'jwks', 'public')).stderr).toBe('')
  })

  const secret = 'Zm9vYmFyMTIzNDU2Nzg5MA'
  const faulty: readonly { name: string; make: (folder: string) => unknown; says: RegExp; args?: readonly string[] }[] =
    [
      { name: 'absent', make: () => {}, says: /file "\S+key": expected a readable file, got none \(file_unreadable\)/ },
      {
        name: 'empty',
        make: (folder) => put(folder, 'key', ''),
        says: /file "\S+key": expected content, got an empty file \(file_invalid\)/,
      },
      {
        name: 'a directory',
        make: (folder) => mkdirSync(join(folder, 'key')),
        says: /file "\S+key": expected a regular file, got a directory/,
      },
      {
        name: 'a FIFO',
        make: (folder) => execFileSync('mkfifo', [join(folder, 'key')]),
        says: /file "\S+key": expected a regular file, got a FIFO/,
      },
      {
        name: 'no key',
        make: (folder) => put(folder, 'key', secret),
        says: /"\S+key": expected a key as PEM or JWK, got neither/,
      },
      {
        name: 'broken JSON',
        make: (folder) => put(folder, 'key', `{"d":"${secret}`),
        says: /"\S+key": expected a key, got a damaged one/,
      },
      {
        name: 'damaged PEM',
        make: (folder) => put(folder, 'key', `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`),
        says: /"\S+key": expected a private key in PEM, got PEM of a private key that is damaged/,
      },
      {
        name: 'a damaged public key',
        make: (folder) => put(folder, 'key', `-----BEGIN PUBLIC KEY-----\n${secret}\n-----END PUBLIC KEY-----\n`),
        says: /"\S+key": expected a key, got a damaged one/,
      },
      {
        name: 'encrypted',
        make: (folder) => put(folder, 'key', encrypted(ec)),
        says: /got an encrypted one without passphrase/,
      },
      {
        name: 'a shared secret',
        make: (folder) => put(folder, 'key', JSON.stringify({ kty: 'oct', k: secret })),
        says: /expected an asymmetric key, got a symmetric JWK/,
      },
      {
        name: 'a set',
        make: (folder) => put(folder, 'key', JSON.stringify({ keys: [ec.jwk] })),
        says: /got a JWK Set/,
      },
      {
        name: 'an RSA key of 1024 bits',
        make: (folder) =>
          put(
            folder,
            'key',
            String(
              generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'pem', type: 'spki' }),
            ),
          ),
        says: /at least 2048 bits/,
      },
      {
        name: 'an X25519 key',
        make: (folder) =>
          put(folder, 'key', String(generateKeyPairSync('x25519').publicKey.export({ format: 'pem', type: 'spki' }))),
        says: /expected an RSA, P-256, P-384, P-521 or Ed25519 key, got another one/,
      },
      {
        name: 'for another algorithm',
        make: (folder) => put(folder, 'key', ec.pem),
        args: ['--alg', 'RS256'],
        says: /expected a RSA key for RS256/,
      },
      {
        name: 'opened by a passphrase that others can read',
        make: (folder) => [put(folder, 'key', encrypted(ec)), put(folder, 'passphrase', secret, 0o644)],
        args: ['--passphrase-file', 'passphrase'],
        says: /file "\S+passphrase": expected one that its owner alone can read and write, got mode 0644/,
      },
    ]
  test.for(faulty)(
    'says of a key file that is $name which one it is, and nothing of its content',
    async ({ make, says, args = [] }, { folder }) => {
      make(folder)
      const { code, stdout, stderr } = await runHere({ cwd: folder }, 'keys', 'jwks', 'key', ...args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(says)
      expectNoCanary([stderr], [secret, String(ec.jwk.d)])
    },
  )

  test('refuses one key in two files', async ({ folder }) => {
    put(folder, 'a.pem', ec.pem)
    put(folder, 'b.pem', ec.pem)
    const { code, stderr } = await runHere({ cwd: folder }, 'keys', 'jwks', 'a.pem', 'b.pem')
    expect(code).toBe(1)
    expect(stderr).toMatch(/every kid once, got that of "b.pem" twice/)
  })

  test('writes nothing to a terminal that moves its cursor or turns its text', async ({ folder }) => {
    const missing = await runHere({ cwd: folder }, 'keys', 'jwks', 'a\u001b[2J\u009b\u202eb')
    expect(missing.stderr).toMatch(/a\?\[2J\?\?b/)
    const kid = 'a\u001b[2J\u009b\u202e\u{e0001}b'
    const { stdout } = await runHere({ cwd: folder }, 'keys', 'jwks', put(folder, 'key', ec.pem), '--kid', kid)
    expect(stdout).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u)
    expect(JSON.parse(stdout).keys).toMatchObject([{ kid }])
  })
})

describe('keys thumbprint', () => {
  test('is that of RFC 7638 section 3.1', async ({ folder }) => {
    const n =
      '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw'
    put(folder, 'key.jwk', JSON.stringify({ kty: 'RSA', n, e: 'AQAB', alg: 'RS256', kid: '2011-04-29' }))
    const { code, stdout } = await run(folder, 'keys', 'thumbprint', 'key.jwk')
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n' })
  })

  test('is the same for both halves of a key, encrypted or not', async ({ folder }) => {
    const key = await createTestKey('EdDSA', 'a')
    put(folder, 'passphrase', PASSPHRASE)
    const files = [
      put(folder, 'a', key.pem),
      put(folder, 'b', JSON.stringify(key.publicJwk)),
      put(folder, 'c', encrypted(key)),
    ]
    const passphrase = ['--passphrase-file', 'passphrase']
    for (const file of files) {
      const { stdout } = await runHere({ cwd: folder }, 'keys', 'thumbprint', file, ...passphrase)
      expect(stdout).toBe(`${await jwkThumbprint(key.publicJwk)}\n`)
    }
  })
})
