import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect } from 'vitest'
import { manifest } from '../support/manifest.ts'
import { program, run, runHere, test } from './program.ts'

const secret = 'Zm9vYmFyMTIzNDU2Nzg5MA'

describe('the command line', () => {
  const helps = [
    { name: 'the program', args: ['--help'], says: ['usage: evertoken <command>', 'keys jwks', '--version'] },
    { name: 'the program, in short', args: ['-h'], says: ['usage: evertoken <command>'] },
    { name: 'a family', args: ['keys', '--help'], says: ['usage: evertoken keys <command>', 'keys generate'] },
    {
      name: 'a command',
      args: ['keys', 'generate', '--help'],
      says: ['usage: evertoken keys generate', '--out <file>'],
    },
    {
      name: 'a command behind its options',
      args: ['keys', 'jwks', '--kid', 'x', '--help'],
      says: ['--passphrase-file'],
    },
  ]
  test.for(helps)('explains $name on stdout', async ({ args, says }, { folder }) => {
    const { code, stdout, stderr } = await run(folder, ...args)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const part of says) expect(stdout).toContain(part)
  })

  test('tells its version', async ({ folder }) => {
    const { version } = manifest as typeof manifest & { readonly version: string }
    expect(await run(folder, '--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  const wrong = [
    { name: 'no command', args: [], says: /a command out of keys generate, .+, got none/ },
    { name: 'an unknown command', args: ['tokn'], says: /a command out of keys generate, .+, got "tokn"/ },
    { name: 'half a command', args: ['keys'], says: /evertoken keys: expected a command out of .+, got none/ },
    { name: 'a command that its family lacks', args: ['keys', 'make'], says: /got "make"/ },
    { name: 'help on an unknown command', args: ['tokn', '--help'], says: /got "tokn"/ },
    { name: 'a name that objects have', args: ['constructor'], says: /got "constructor"/ },
    { name: 'an option before the command', args: ['--out', 'x'], says: /got "--out"/ },
    {
      name: 'an unknown option',
      args: ['keys', 'generate', '--outt', 'x'],
      says: /options out of --out, .+, got "--outt"/,
    },
    { name: 'an option that objects have', args: ['keys', 'generate', '--constructor'], says: /got "--constructor"/ },
    { name: 'a short option', args: ['keys', 'generate', '-o', 'x'], says: /options out of --out, .+, got "-o"/ },
    {
      name: 'an option without its value',
      args: ['keys', 'generate', '--out'],
      says: /a value behind --out, got none/,
    },
    {
      name: 'an option for a value',
      args: ['keys', 'generate', '--out', '--force'],
      says: /a value behind --out, got none/,
    },
    { name: 'an empty value', args: ['keys', 'generate', '--out='], says: /a value behind --out, got an empty one/ },
    {
      name: 'a switch with a value',
      args: ['keys', 'generate', '--force=yes'],
      says: /--force without a value, got one/,
    },
    {
      name: 'an option twice',
      args: ['keys', 'generate', '--kid', 'a', '--kid', 'b'],
      says: /--kid once, got it twice/,
    },
    { name: 'an operand too many', args: ['keys', 'generate', 'x.pem'], says: /no arguments but options, got 1/ },
    { name: 'an operand too few', args: ['keys', 'thumbprint'], says: /1 argument beside options, got 0/ },
    { name: 'no file', args: ['keys', 'jwks'], says: /1 or more arguments beside options, got 0/ },
    { name: 'no place for the key', args: ['keys', 'generate'], says: /--out <file>, or --stdout, got neither/ },
    { name: 'two places', args: ['keys', 'generate', '--out', 'x', '--stdout'], says: /either .+, got both/ },
    { name: 'force without a file', args: ['keys', 'generate', '--stdout', '--force'], says: /--force with --out/ },
    {
      name: 'an unknown algorithm',
      args: ['keys', 'generate', '--stdout', '--alg', 'HS256'],
      says: /--alg out of RS256/,
    },
    { name: 'one kid for two files', args: ['keys', 'jwks', 'a', 'b', '--kid', 'x'], says: /--kid with one file/ },
    { name: 'an unknown algorithm of a key', args: ['keys', 'jwks', 'a', '--alg', 'none'], says: /--alg out of RS256/ },
    {
      name: 'one algorithm for two files',
      args: ['keys', 'jwks', 'a', 'b', '--alg', 'x'],
      says: /--alg with one file/,
    },
  ]
  test.for(wrong)('answers $name with exit code 2 and what it expected', async ({ args, says }, { folder }) => {
    const { code, stdout, stderr } = await runHere({ cwd: folder }, ...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(says)
    expect(stderr).toMatch(/^evertoken: .+ \(usage_invalid\)\n$/)
  })

  const slips = [
    { name: 'as a command', args: [secret] },
    { name: 'as an operand too many', args: ['keys', 'thumbprint', 'a.pem', secret] },
    { name: 'behind an option that does not exist', args: ['keys', 'jwks', 'a.pem', '--passphrase', secret] },
    { name: 'inside an option that does not exist', args: ['keys', 'jwks', 'a.pem', `--passphrase=${secret}`] },
    { name: 'behind a short option', args: ['keys', 'jwks', 'a.pem', `-p${secret}`] },
    { name: 'as a value of a switch', args: ['keys', 'generate', `--stdout=${secret}`] },
    { name: 'as the algorithm of a key', args: ['keys', 'jwks', 'a.pem', '--alg', secret] },
    { name: 'as an algorithm', args: ['keys', 'generate', '--stdout', '--alg', secret] },
  ]
  test.for(slips)('A2.10 repeats no secret that was typed $name', async ({ args }, { folder }) => {
    const { code, stdout, stderr } = await runHere({ cwd: folder }, ...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).not.toContain(secret)
  })

  test('A2.10 has no option that takes a secret', async ({ folder }) => {
    for (const command of ['generate', 'jwks', 'thumbprint', 'assertion']) {
      const { stdout } = await runHere({ cwd: folder }, 'keys', command, '--help')
      expect(stdout).not.toMatch(/--\S*(?:secret|passphrase|password|token|key)\S* <(?!file>)/)
    }
  })
})

describe('the process', () => {
  const endless = `setInterval(() => {}, 1000); process.stderr.write('ready\\n'); await new Promise(() => {})`
  const signals = [
    { name: 'SIGINT', code: 130 },
    { name: 'SIGTERM', code: 143 },
  ] as const
  test.for(signals)(
    'ends with $code after $name, whatever the configuration waits for',
    async ({ name, code }, { folder }) => {
      writeFileSync(join(folder, 'evertoken.config.mjs'), endless)
      const child = spawn(process.execPath, [program, 'keys', 'assertion', 'api'], { cwd: folder })
      const stdout = text(child.stdout)
      await once(child.stderr, 'data')
      child.kill(name)
      expect(await once(child, 'close')).toEqual([code, null])
      expect(await stdout).toBe('')
    },
  )

  test('says so when a configuration waits for nothing', async ({ folder }) => {
    writeFileSync(join(folder, 'evertoken.config.mjs'), 'await new Promise(() => {})')
    const { code, stderr } = await run(folder, 'keys', 'assertion', 'api')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^evertoken: expected the command to come to its end/)
  })

  const falls = [
    { name: 'an error', statement: `queueMicrotask(() => { throw new Error('${secret}') })` },
    { name: 'a rejection', statement: `Promise.reject(new Error('${secret}'))` },
  ]
  test.for(falls)('tells only the kind of $name that a configuration lets fall', async ({ statement }, { folder }) => {
    writeFileSync(join(folder, 'evertoken.config.mjs'), `${statement}\nawait new Promise(() => {})`)
    const result = await run(folder, 'keys', 'assertion', 'api')
    expect(result).toEqual({ code: 1, stdout: '', stderr: 'evertoken: expected no failure, got Error\n' })
  })

  test('takes a reader that goes away for no error', async ({ folder }) => {
    const line = '{ "$@"; echo "$?" >&2; } | true'
    const child = spawn('sh', ['-c', line, 'sh', process.execPath, program, '--help'], { cwd: folder })
    expect(await text(child.stderr)).toBe('0\n')
  })

  test('takes a full disk for one', async ({ folder }) => {
    const line = 'exec "$@" >/dev/full'
    const child = spawn('sh', ['-c', line, 'sh', process.execPath, program, '--help'], { cwd: folder })
    const [[code], stderr] = await Promise.all([once(child, 'close'), text(child.stderr)])
    expect(code).toBe(1)
    expect(stderr).toBe('evertoken: expected standard output to be writable, got Error ENOSPC\n')
  })
})
