import { execFile } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ClientCertificateOptions, type ClientCertificateSource, clientCertificate } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { test } from '../support/certificate-fixtures.ts'
import { root } from '../support/manifest.ts'
import { thumbprintOf } from '../support/mtls-servers.ts'

describe('clientCertificate()', () => {
  const ec = String(
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  )
  const encrypted = String(
    createPrivateKey(ec).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'a passphrase' }),
  )
  const weak = String(
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  )
  type Change = Readonly<Record<string, unknown>>
  const faults: readonly { name: string; change: Change; options?: Change; code: string; message: string | RegExp }[] =
    [
      {
        name: 'nothing',
        change: { cert: undefined, key: undefined },
        code: 'option_invalid',
        message: /^clientCertificate: expected certFile and keyFile, or cert and key, got none of them$/,
      },
      {
        name: 'half of each form',
        change: { key: undefined, keyFile: 'k' },
        code: 'option_invalid',
        message: /got keyFile, cert$/,
      },
      {
        name: 'both forms',
        change: { certFile: 'c', keyFile: 'k' },
        code: 'option_invalid',
        message: /got certFile, keyFile, cert, key$/,
      },
      {
        name: 'bytes',
        change: { cert: new Uint8Array() },
        code: 'option_invalid',
        message: /expected cert to be a text, got an object$/,
      },
      {
        name: 'two sets of authorities',
        change: { ca: 'x', caFile: 'y' },
        code: 'option_invalid',
        message: /expected ca or caFile, got both$/,
      },
      {
        name: 'checkEveryMs of no time',
        change: {},
        options: { checkEveryMs: 0 },
        code: 'option_invalid',
        message: /expected checkEveryMs to be a whole number from 1000 to /,
      },
      {
        name: 'a key of another certificate',
        change: { key: ec },
        code: 'certificate_invalid',
        message:
          'clientCertificate: key: expected the private key of clientCertificate: cert, got that of another certificate',
      },
      {
        name: 'a weak key of another certificate',
        change: { key: weak },
        code: 'certificate_invalid',
        message: /got that of another certificate$/,
      },
      {
        name: 'a key in place of the certificate',
        change: { cert: ec },
        code: 'certificate_invalid',
        message: 'clientCertificate: cert: expected a certificate in PEM, got PEM of a private key',
      },
      {
        name: 'an empty certificate',
        change: { cert: '' },
        code: 'certificate_invalid',
        message: /got an empty text$/,
      },
      {
        name: 'a damaged certificate',
        change: { cert: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n' },
        code: 'certificate_invalid',
        message: /got one that is damaged$/,
      },
      {
        name: 'authorities that are none',
        change: { ca: 'all of them' },
        code: 'certificate_invalid',
        message: 'clientCertificate: ca: expected a certificate in PEM, got a text that is not PEM',
      },
      {
        name: 'no PEM in place of the key',
        change: { key: 'secret' },
        code: 'key_invalid',
        message: 'clientCertificate: key: expected a private key in PEM, got a text that is not PEM',
      },
      {
        name: 'an encrypted key alone',
        change: { key: encrypted },
        code: 'key_invalid',
        message: /got an encrypted one without passphrase$/,
      },
      {
        name: 'an encrypted key that does not open',
        change: { key: encrypted, passphrase: 'another' },
        code: 'key_invalid',
        message: /got one that does not open$/,
      },
    ]
  test.for(faults)('refuses $name', ({ change, options, code, message }, { pairs }) => {
    const source = { ...pairs.blue, ...change } as ClientCertificateSource
    expect(() => clientCertificate(source, options as ClientCertificateOptions)).toThrow(
      expect.objectContaining({
        name: 'ConfigurationError',
        code,
        message: typeof message === 'string' ? message : expect.stringMatching(message),
      }),
    )
  })

  test('refuses a certificate that has expired', async ({ authority }) => {
    const expired = await authority.issueClient({ name: 'old', expiresInDays: -1 })
    const message = expect.stringMatching(
      /^clientCertificate: cert: expected a certificate that is valid, got one that expired at 20/,
    )
    expect(() => clientCertificate(expired)).toThrow(expect.objectContaining({ code: 'certificate_expired', message }))
  })

  test('names the file, and its option', async ({ files, pairs }) => {
    await files.replace('cert', pairs.green.cert)
    const message = `keyFile "${files.keyFile}": expected the private key of certFile "${files.certFile}", got that of another certificate`
    expect(() => clientCertificate(files)).toThrow(expect.objectContaining({ code: 'certificate_invalid', message }))
  })

  test('refuses a missing file', async ({ files }) => {
    await rm(files.certFile)
    expect(() => clientCertificate(files)).toThrow(expect.objectContaining({ code: 'file_unreadable' }))
  })

  test.runIf(process.platform !== 'win32')(
    'refuses a key that others can read, unless told that they may',
    async ({ files, pairs, open }) => {
      await files.replace('key', pairs.blue.key, 0o640)
      expect(() => open(files)).toThrow(expect.objectContaining({ code: 'file_permissions' }))
      expect(open(files, { permissions: 'any' }).thumbprint).toBe(thumbprintOf(pairs.blue.cert))
    },
  )

  test('says that undici is missing, when it is first needed', async ({ files }) => {
    // The built package beside its dependencies, in a place from where no undici is found.
    const folder = await mkdtemp(join(tmpdir(), 'without-undici-'))
    const modules = join(folder, 'node_modules')
    await mkdir(join(modules, 'evertoken'), { recursive: true })
    await cp(`${root}dist`, join(modules, 'evertoken', 'dist'), { recursive: true })
    await cp(`${root}package.json`, join(modules, 'evertoken', 'package.json'))
    for (const name of ['jose', 'lru-cache', 'oauth4webapi'])
      await symlink(`${root}node_modules/${name}`, join(modules, name))
    const program = `
      import { clientCertificate } from 'evertoken/node'
      const certificate = clientCertificate(${JSON.stringify({ certFile: files.certFile, keyFile: files.keyFile })})
      const { name, code, message } = await certificate.fetch('https://127.0.0.1:1/').catch((error) => error)
      console.log(JSON.stringify({ name, code, message }))`
    await writeFile(join(folder, 'main.mjs'), program)
    // It ends by itself: neither a timer nor a connection holds the process.
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'main.mjs')])
    expect(JSON.parse(stdout)).toEqual({
      name: 'ConfigurationError',
      code: 'peer_missing',
      message: 'clientCertificate: expected the package undici, got none',
    })
    await rm(folder, { recursive: true })
  })
})
