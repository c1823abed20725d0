/** A patch of the source of 6.1: /proc/version begins with `patched`. */
export const versionPatch = `--- a/fs/proc/version.c
+++ b/fs/proc/version.c
@@ -10,7 +10,7 @@
 
 static int version_proc_show(struct seq_file *m, void *v)
 {
-	seq_printf(m, linux_proc_banner,
+	seq_printf(m, "patched %s %s %s\\n",
 		utsname()->sysname,
 		utsname()->release,
 		utsname()->version);
`;
