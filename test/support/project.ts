/** Where the project is: this file is dist/test/support/project.js in it. */
import path from 'node:path'

export const projectFolder = path.join(__dirname, '..', '..', '..')
