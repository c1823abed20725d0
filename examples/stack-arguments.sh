# A small datagram always arrives; a large one does not while the fix is applied.
ifconfig lo 127.0.0.1 up
received() { ping -c 1 -W 5 -s "$1" 127.0.0.1 2>&1 | grep -o '[0-9]* packets received'; }
small=$(received 100)
large=$(received 1200)
echo "small: $small"
test "$small" = '1 packets received' || exit 1
case $SUTURE_PHASE in
applied)
	echo "large: ${large:-refused}"
	test "$large" != '1 packets received' ;;
*)
	echo "large: $large"
	test "$large" = '1 packets received' ;;
esac
