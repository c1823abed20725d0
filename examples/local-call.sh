# The addresses of init's program are zeros while the fix is applied; all else that its map says stays.
set -- $(grep -m 1 ' r-xp .*busybox' /proc/1/maps)
echo "$1 $2"
test "$2 $3 $6" = 'r-xp 00000000 /bin/busybox' || exit
case $SUTURE_PHASE in
applied) test "$1" = 00000000-00000000 ;;
*) test "$1" != 00000000-00000000 ;;
esac
