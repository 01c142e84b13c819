import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { root } from './manifest.ts'

/** Some tests read `dist`. `npm test` has built it before they start; a run of Vitest alone builds it here, once. */
export function setup(): void {
  if (existsSync(`${root}dist/index.d.ts`)) return
  execFileSync(
    process.execPath,
    [`${root}node_modules/typescript/bin/tsc`, '-b', 'tsconfig.web.json', 'tsconfig.node.json'],
    {
      cwd: root,
      stdio: 'inherit',
    },
  )
}
